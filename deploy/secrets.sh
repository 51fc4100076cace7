#!/bin/sh
# Makes the Secrets that compose.yaml mounts, once, in deploy/secrets: passwords of the shards and keys, all by chance.
# `service-key` is what a backend sends as its key; pods have only its hash.
set -eu
cd "$(dirname "$0")"
folder=${1:-secrets}
[ ! -e "$folder" ] || { echo "$folder is there already: remove it for new Secrets" >&2; exit 1; }
umask 077
mkdir "$folder"
random() { openssl rand -hex 32; }
pod=$(random)
deploy=$(random)
printf %s "$deploy" >"$folder/deploy-password"
sed -e "s/CHANGE-ME-POD/$pod/" -e "s/CHANGE-ME-DEPLOY/$deploy/" redis/users.acl >"$folder/users.acl"
for shard in a b c; do
  echo "$shard=redis://fanfare:$pod@redis-$shard:6379"
done >"$folder/shards"
key=$(openssl rand -base64 32 | tr '+/' '-_' | tr -d '=')
echo "{\"keys\":[{\"kty\":\"oct\",\"alg\":\"HS256\",\"kid\":\"compose\",\"k\":\"$key\"}]}" >"$folder/viewer-keys"
service=$(random)
printf %s "$service" >"$folder/service-key"
hash=$(printf %s "$service" | openssl dgst -sha256 -r | cut -d ' ' -f 1)
kinds='["comment","gift","follow","mission"]'
echo "{\"keys\":[{\"name\":\"compose\",\"sha256\":\"$hash\",\"kinds\":$kinds,\"streams\":[\"*\"]}]}" >"$folder/service-keys"
printf %s "$(random)" >"$folder/grafana-password"
# Compose mounts each file as it is, for users other than yours; the folder keeps others on this machine out.
chmod 644 "$folder"/*
