#!/bin/sh
# Makes the root of the image: the binary, the few libraries that it names, certificates, and a user without rights.
# Nothing else: no shell, no package manager, nothing to write to.   rootfs.sh BINARY FOLDER
set -eu
binary=$1
root=$2
mkdir -p "$root/etc/ssl/certs"
cp "$binary" "$root/fanfare"
# The loader and glibc, libm, libgcc_s; glibc brings its name resolution along since 2.34.
ldd "$binary" | grep -o '/[^ ]*' | while read -r library; do
  mkdir -p "$root$(dirname "$library")"
  cp -L "$library" "$root$library"
done
# For shards behind TLS.
cp -L /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
echo 'hosts: files dns' >"$root/etc/nsswitch.conf"
echo 'nonroot:x:65532:65532:nonroot:/:/fanfare' >"$root/etc/passwd"
echo 'nonroot:x:65532:' >"$root/etc/group"
