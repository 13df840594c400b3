#!/usr/bin/env sh
# Fetches the OpenTelemetry Java agent, as pinned, and compiles the little shop that it watches, into .tools/java.
set -eu
version=2.28.1
sha256=faa89bdeebf9b1f52be4a4374689176717b02a59df2d8f8b6eb9aa39f9292589
plugin=org.apache.maven.plugins:maven-dependency-plugin:3.8.1
cd "$(dirname "$0")"
out=../../.tools/java
for program in javac mvn sha256sum; do
    command -v "$program" >/dev/null 2>&1 || {
        echo "$program not found: the Java agent is not tried"
        exit 0
    }
done
mkdir -p "$out"
mvn -q -B "$plugin:copy" -Dartifact="io.opentelemetry.javaagent:opentelemetry-javaagent:$version" -DoutputDirectory="$out" \
    -Dmdep.stripVersion=true
echo "$sha256  $out/opentelemetry-javaagent.jar" | sha256sum --check --quiet
javac -Xlint:all,-serial -Werror -d "$out/classes" shop/*.java
