"""What is library and runtime code in each language, as data: prefixes of modules, patterns of paths.

A prefix is compared letter by letter with the module of a frame and one separator behind it (with the function where
there is no module), so "java." is java and all below it. A name is the whole function, where there is no module.
A path pattern is searched for in the file.
"""

from __future__ import annotations

LIBRARY_PREFIXES: dict[str, tuple[str, ...]] = {
    language: tuple(prefixes.split())
    for language, prefixes in {
        "java": """
            java. javax. jakarta. jdk. sun. com.sun. oracle. kotlin. kotlinx. _COROUTINE. scala. clojure.
            groovy. org.codehaus. android. androidx. com.android. dalvik. org.springframework. org.apache.
            org.hibernate. org.eclipse. org.jboss. org.glassfish. org.quartz. org.aspectj. org.thymeleaf.
            org.flywaydb. org.liquibase. liquibase. org.slf4j. ch.qos.logback. org.junit. junit. org.testng.
            org.mockito. org.gradle. org.postgresql. com.mysql. org.mariadb. com.microsoft.sqlserver. org.h2.
            com.zaxxer. com.mongodb. org.bson. redis.clients. io.lettuce. org.redisson. com.datastax.
            org.elasticsearch. co.elastic. com.rabbitmq. org.joda. org.bouncycastle. org.objectweb. io.netty.
            io.grpc. io.vertx. io.quarkus. io.smallrye. io.micronaut. io.undertow. io.dropwizard. io.micrometer.
            io.opentelemetry. io.reactivex. io.ktor. io.projectreactor. reactor. rx. akka. org.apache.pekko.
            play. cats. zio. fs2. org.http4s. okhttp3. okio. retrofit2. feign. com.squareup. com.fasterxml.
            com.google.common. com.google.inject. com.google.gson. com.google.protobuf. com.github.benmanes.
            com.netflix. com.amazonaws. software.amazon. com.azure. net.bytebuddy. net.sf.cglib. brave. zipkin2.
        """,
        "dotnet": """
            System. Microsoft. MS. Mono. Internal. Interop. Newtonsoft. NUnit. Xunit. Npgsql. MySql.
            MySqlConnector. MongoDB. StackExchange. Grpc. Google.Protobuf. Polly. MassTransit. MediatR.
            AutoMapper. Autofac. Castle. Dapper. Serilog. NLog. log4net. Amazon. Azure. RestSharp. Refit.
            Hangfire. Quartz. RabbitMQ. Confluent.Kafka. FluentValidation. OpenTelemetry. NHibernate. Moq.
        """,
        "rust": """
            std:: core:: alloc:: <std:: <core:: <alloc:: __rust rust_ _rust_ __libc_ __pthread tokio:: <tokio::
            futures <futures hyper:: <hyper:: tower:: <tower axum:: <axum actix_ <actix_ anyhow:: <anyhow::
            backtrace:: rayon <rayon serde <serde tracing:: <tracing:: tonic:: <tonic:: reqwest:: <reqwest::
            eyre:: color_eyre::
        """,
        "c": """
            std:: __gnu_cxx:: __cxxabi __cxa_ __gxx_ __libc_ __GI_ __asan __ubsan __tsan __msan __interceptor
            __sanitizer __pthread __restore_rt __assert _IO_ boost:: _Unwind_ g_assert g_log
        """,
        "elixir": """
            : Enum. Stream. Task. GenServer. Agent. Supervisor. DynamicSupervisor. Kernel. Code. Module.
            Process. Registry. Map. MapSet. Keyword. List. String. Integer. Float. IO. File. Path. Regex.
            Access. System. Port. Node. Date. DateTime. NaiveDateTime. Time. URI. Base. Tuple. Range. Mix.
            ExUnit. Phoenix. Plug. Ecto. DBConnection. Postgrex. MyXQL. Bandit. Cowboy. Oban. Jason. Absinthe.
            Broadway. GenStage. Finch. Mint. Tesla. Req. HTTPoison. Hackney. Logger. OpenTelemetry. Protocol.
            Inspect. Enumerable. Collectable. ThousandIsland. Redix. Swoosh. Telemetry. erlang. gen_server.
            gen_statem. gen_event. proc_lib. lists. maps. erl_eval. shell. supervisor. ets. init. escript.
            timer. rpc. erpc. file. binary. cowboy_ ranch_
        """,
    }.items()
}

LIBRARY_NAMES: dict[str, frozenset[str]] = {
    "rust": frozenset(("main", "_start", "clone", "clone3", "start_thread")),
    "c": frozenset(
        (
            *("??", "<signal handler called>", "_start", "start_thread", "clone", "clone3", "pthread_kill"),
            *("gsignal", "raise", "abort", "exit", "kill", "malloc", "free", "calloc", "realloc", "printf", "qFatal"),
            *("memcpy", "memset", "memmove", "strlen", "strcmp", "strcpy", "operator new", "operator delete"),
        )
    ),
}

# Behind the module, so that a prefix that ends in it is the module itself too.
SEPARATORS = {"java": ".", "dotnet": ".", "rust": "::", "c": "::", "elixir": ".", "python": ".", "php": "\\", "go": "/"}

LIBRARY_PATHS: dict[str, str] = {
    "python": (
        r"[/\\](?:site|dist)-packages[/\\]|[/\\]lib(?:64)?[/\\]python[0-9.]+[/\\]|[/\\]Python[0-9]+[/\\][Ll]ib[/\\]"
        r"|^<frozen |\.egg[/\\]|^<__array_function__"
    ),
    "javascript": (
        r"[/\\]node_modules[/\\]|^node_modules[/\\]|^node:|^internal/|^native$|^<anonymous>$|^index [0-9]+$"
        r"|^\[native code\]$|^resource://|^chrome://|-extension://|/webpack/(?:runtime|bootstrap)|^deno:|^ext:|^bun:"
        r"|^evalmachine\.|^unknown location$|^wasm://"
    ),
    # Where a Go distribution keeps its own sources, the module cache, vendored code; with -trimpath the standard
    # library has relative paths and a dependency a version behind its name.
    "go": (
        r"/(?:usr/local/go|usr/lib/go[^/]*|usr/share/go[^/]*|go[0-9.]*|libexec|goroot|GOROOT|sdk/go[^/]*)/src/"
        r"|/pkg/mod/|/vendor/|@v[0-9]|^_cgo_|^<autogenerated>"
        r"|^(?:archive|bufio|bytes|cmp|compress|container|context|crypto|database|debug|embed|encoding|errors|expvar"
        r"|flag|fmt|go|hash|html|image|index|internal|io|iter|log|maps|math|mime|net|os|path|plugin|reflect|regexp"
        r"|runtime|slices|sort|strconv|strings|structs|sync|syscall|testing|text|time|unicode|unique|unsafe|weak)/"
    ),
    "ruby": r"/gems/|/lib/ruby/|/rubygems|/vendor/bundle/|^<internal:|/bin/(?:bundle|rake|rails|puma|rspec|irb)$|^-e$",
    "php": r"/vendor/|^\[internal function\]$|/usr/share/php/|^phar://",
    "rust": (
        r"^/rustc/|[/\\]\.?cargo[/\\](?:registry|git)[/\\]|/rustlib/|/library/(?:std|core|alloc)/src/|^\./(?:nptl|csu)/"
    ),
    "c": (
        r"^/usr/(?:lib|include|local/lib|local/include)|^/lib(?:32|64|x32)?/|^\.\./sysdeps/|/sysdeps/|^\.\./\.\./\.\./"
        r"|^\./?(?:nptl|csu|stdlib|signal|assert|malloc|libio)/|^/build/(?:glibc|gcc)|/libsanitizer/|/compiler-rt/"
        r"|libc\.so|libstdc\+\+|libpthread|ld-linux"
    ),
    "elixir": r"/deps/|^deps/",
    "java": r"(?!)",
    "dotnet": r"^/_/src/|^<[0-9a-f]{32}>$",
}
