#!/bin/sh
# Write the bundle, its map and what Node.js says with and without it again: sh make.sh (needs node and npx esbuild).
here=$(cd "$(dirname "$0")" && pwd)
app=/srv/app/bundle
rm -rf "$app" && mkdir -p "$app/dist" && cp -r "$here/src" "$app" && cd "$app" || exit
npx esbuild src/shop.ts --bundle --minify --platform=node --sourcemap --outfile=dist/shop.min.js
node dist/shop.min.js >"$here/stack.txt"
node --enable-source-maps dist/shop.min.js >"$here/mapped.txt"
cp dist/shop.min.js dist/shop.min.js.map "$here"
rm -rf "$app"
