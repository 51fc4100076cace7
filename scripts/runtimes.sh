#!/usr/bin/env bash
# The documented JavaScript client in Node 22 and 24, Deno, Bun, Chromium and Firefox, and the documented Kotlin client,
# compiled as docs/clients.md has it: tests/runtimes. The runtimes come from npm (400 MB), Kotlin's compiler and libraries
# from Maven Central (65 MB), both kept in the build folder; the browsers and Java come from Debian.
set -euo pipefail
cd "$(dirname "$0")/.."
tools=${CARGO_TARGET_DIR:-$PWD/target}/runtimes
case $(uname -m) in
  x86_64) node=x64 deno=x64-glibc bun=x64 ;;
  aarch64) node=arm64 deno=arm64-glibc bun=aarch64 ;;
  *) echo "no runtimes for $(uname -m)"; exit 1 ;;
esac
# The packages of one platform, which are plain files: the ones that choose among them need scripts to install.
pinned="node22@npm:node-linux-$node@22.23.3 node24@npm:node-linux-$node@24.9.0 @deno/linux-$deno@2.9.6 @oven/bun-linux-$bun@1.4.5"
if [ "$(cat "$tools/pinned" 2>/dev/null)" != "$pinned" ]; then
  rm -rf "$tools"
  mkdir -p "$tools"
  # shellcheck disable=SC2086  # words
  npm install --prefix "$tools" --no-audit --no-fund --ignore-scripts --silent $pinned
  echo "$pinned" >"$tools/pinned"
fi
export NODE_22=$tools/node_modules/node22/bin/node NODE_24=$tools/node_modules/node24/bin/node
export DENO=$tools/node_modules/@deno/linux-$deno/deno BUN=$tools/node_modules/@oven/bun-linux-$bun/bin/bun
export DENO_NO_UPDATE_CHECK=1
kotlin=$tools/kotlin
sources=$PWD/tests/clients/kotlin
if ! cmp -s "$sources/pom.xml" "$kotlin/pom.xml"; then
  rm -rf "$kotlin"
  mkdir -p "$kotlin"
  mvn -q -B -Dstyle.color=never -f "$sources/pom.xml" dependency:copy-dependencies -DoutputDirectory="$kotlin/jars"
  cp "$sources/pom.xml" "$kotlin/"
fi
rm -rf "$kotlin/source" "$kotlin/classes"
mkdir "$kotlin/source"
sed -n '/^```kotlin$/,/^```$/{/^```/!p}' docs/clients.md >"$kotlin/source/StreamWatch.kt"
jars=$(printf '%s:' "$kotlin"/jars/*.jar)
java -cp "$jars" org.jetbrains.kotlin.cli.jvm.K2JVMCompiler -Werror -no-stdlib -no-reflect -cp "$jars" -d "$kotlin/classes" \
  "$kotlin/source" "$sources/Drive.kt"
export KOTLIN_CLASSES=$kotlin/classes:$jars
echo "$(basename "$kotlin"/jars/kotlin-stdlib-*.jar .jar), $(basename "$kotlin"/jars/okhttp-*.jar .jar), $(java -version 2>&1 | head -1)"
for runtime in "$NODE_22" "$NODE_24" "$DENO" "$BUN" chromium firefox-esr; do
  echo "$("$runtime" --version 2>/dev/null | head -1), $(basename "$runtime")"
done
cargo test --locked --test runtimes -- --test-threads "${RUST_TEST_THREADS:-4}"
