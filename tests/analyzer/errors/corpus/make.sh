#!/bin/sh
# Write the corpus again: sh make.sh (needs the runtimes; builds in /srv/app; then read `git diff`).
# The expected results beside the traces are written by hand and stay.
set -u
here=$(cd "$(dirname "$0")" && pwd)
app=/srv/app
rm -rf "$app" && mkdir -p "$app"

# keep LANGUAGE NAME COMMAND...: what the command says on stderr, without the home of who ran it.
keep() {
    out="$here/$1/$2.txt"
    shift 2
    "$@" 2>&1 >/dev/null | sed "s#$HOME/#/home/app/#g" >"$out"
}

java_cases() {
    mkdir "$app/java" && cp "$here"/java/src/* "$app/java" && cd "$app/java" && javac Shop.java || return
    for name in npe chain suppressed suppressed_with_cause circular lambda future stack_overflow concurrent proxy; do
        keep java $name java -cp . Shop $name
    done
    scalac Cart.scala && keep java scala java -cp .:/usr/share/java/scala-library.jar acme.Cart
}

python_cases() {
    mkdir "$app/python" && cp "$here"/python/src/* "$app/python" && cd "$app/python" || return
    for name in plain cause context syntax recursion note carets group nested_group awaited pool silent; do
        keep python $name python3.11 shop.py $name
    done
    for version in 3.6 3.8 3.13; do
        command -v python$version >/dev/null && keep python cause_$version python$version shop.py cause
        command -v python$version >/dev/null && keep python carets_$version python$version shop.py carets
    done
}

javascript_cases() {
    mkdir "$app/javascript" && cp "$here"/javascript/src/* "$app/javascript" && cd "$app/javascript" || return
    for name in plain getter commonjs waited waited_deep cause aggregate evaluated sorted; do
        keep javascript $name node shop.mjs $name
        keep javascript ${name}_stack node shop.mjs $name stack
    done
}

go_cases() {
    mkdir "$app/go" && cp "$here"/go/src/* "$app/go" && cd "$app/go" || return
    go mod init github.com/acme/shop && go get github.com/pkg/errors@v0.9.1 && go build -o shop . || return
    for name in nil_pointer index custom_error recovered repanicked in_goroutine deadlock concurrent_map wrapped; do
        keep go $name ./shop $name
    done
    keep go all_goroutines env GOTRACEBACK=all ./shop in_goroutine
    go build -trimpath -o shop . && keep go trimpath ./shop wrapped
}

dotnet_cases() {
    mkdir "$app/dotnet" && cp "$here"/dotnet/src/* "$app/dotnet" && cd "$app/dotnet" && mcs -debug Shop.cs || return
    for name in plain constructor lambda chain waited aggregate; do
        keep dotnet mono_$name mono --debug Shop.exe $name
    done
}

ruby_cases() {
    mkdir "$app/ruby" && cp "$here"/ruby/src/* "$app/ruby" && cd "$app/ruby" || return
    for name in plain block cause library nil; do
        keep ruby $name ruby shop.rb $name
    done
    keep ruby top ruby shop.rb cause top
    keep ruby bottom ruby shop.rb block bottom
    keep ruby colour ruby shop.rb cause colour
    keep ruby backtrace ruby shop.rb block backtrace
}

php_cases() {
    mkdir "$app/php" && cp "$here"/php/src/* "$app/php" && cd "$app/php" || return
    for name in plain callback chain type_error division; do
        keep php $name php -d display_errors=stderr -d log_errors=0 shop.php $name
        keep php ${name}_string php -d display_errors=stderr -d log_errors=0 shop.php $name string
    done
}

rust_cases() {
    mkdir "$app/rust" && cp "$here"/rust/src/* "$app/rust" && cd "$app/rust" && cargo build --release || return
    for name in unwrap index message expect thread anyhow; do
        keep rust $name env RUST_BACKTRACE=1 target/release/shop $name
    done
    keep rust no_backtrace env -u RUST_BACKTRACE target/release/shop message
    keep rust full env RUST_BACKTRACE=full target/release/shop unwrap
}

c_cases() {
    mkdir "$app/c" && cp "$here"/c/src/* "$app/c" && cd "$app/c" && g++ -g -O0 -rdynamic -o shop shop.cc || return
    for name in null thrown aborted thread; do
        gdb -batch -ex run -ex bt --args ./shop $name >"$here/c/gdb_$name.txt" 2>&1
    done
    gdb -batch -ex run -ex "thread apply all bt" --args ./shop thread >"$here/c/gdb_threads.txt" 2>&1
    keep c glibc ./shop backtrace
    g++ -g -O0 -fsanitize=address,undefined -fno-omit-frame-pointer -o shop shop.cc || return
    keep c asan_null ./shop null
    keep c asan_freed ./shop freed
    keep c ubsan_overflow env UBSAN_OPTIONS=print_stacktrace=1 ./shop overflow
}

elixir_cases() {
    mkdir "$app/elixir" && cp "$here"/elixir/src/* "$app/elixir" && cd "$app/elixir" || return
    for name in plain anonymous erlang clause reraised task; do
        keep elixir $name env LC_ALL=C.UTF-8 elixir shop.exs $name
    done
    erlc +debug_info till.erl
    for name in plain badmatch; do
        keep elixir till_$name erl -noshell -s till $name
    done
}

for language in ${*:-java python javascript go dotnet ruby php rust c elixir}; do
    (${language}_cases)
done
rm -rf "$app"
