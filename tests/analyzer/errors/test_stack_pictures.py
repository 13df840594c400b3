"""Forms of traces that no runtime at hand prints: what is written, and what is read."""

from __future__ import annotations

from textwrap import dedent

from analyzer.errors.stack_traces import parse_stack
from tests.support.stacks import picture


def read(text: str, language: str = "") -> str:
    return picture(parse_stack(dedent(text).strip("\n"), language))


def drawn(text: str) -> str:
    return dedent(text).strip("\n")


def test_java_root_first():
    """Some loggers print the root first, and what wraps it behind."""
    found = read("""
        java.io.IOException: gone
        \tat com.acme.Till.count(Till.java:7) ~[till-1.2.jar:1.2]
        \t... 3 common frames omitted
        Wrapped by: com.acme.CheckoutException: no price
        \tat com.acme.Shop.buy(Shop.java:12) ~[shop.jar!/:na]
        \tat jakarta.servlet.http.HttpServlet.service(HttpServlet.java:590) ~[servlet.jar:6.0]
    """)

    assert found == drawn("""
        thrown com.acme.CheckoutException: no price
          + com.acme.Shop.buy Shop.java:12
          - jakarta.servlet.http.HttpServlet.service HttpServlet.java:590
        cause java.io.IOException: gone
          + com.acme.Till.count Till.java:7
    """)


def test_java_loaders_modules_and_hidden_classes():
    found = read("""
        com.acme.Failure
        \tat app//com.acme.Shop.buy(Shop.java:12)
        \tat java.base@17.0.2/java.util.ArrayList.forEach(ArrayList.java:1511)
        \tat app/shop.module@1.0/com.acme.Shop$$Lambda$14/0x0000000800c03000.run(Unknown Source)
        \tat java.base/jdk.internal.reflect.NativeMethodAccessorImpl.invoke0(Native Method)
    """)

    assert found == drawn("""
        thrown com.acme.Failure
          + com.acme.Shop.buy Shop.java:12
          - java.util.ArrayList.forEach ArrayList.java:1511
          + com.acme.Shop$$Lambda$14/0x0000000800c03000.run
          - jdk.internal.reflect.NativeMethodAccessorImpl.invoke0
    """)


def test_kotlin_coroutine_boundary():
    """The boundary is printed as a frame and kept as a seam; a test's name has spaces."""
    found = read("""
        kotlin.KotlinNullPointerException
        \tat com.acme.Till.count(Till.kt:7)
        \tat _COROUTINE._BOUNDARY._(CoroutineDebugging.kt:46)
        \tat com.acme.ShopTest.the till is counted(ShopTest.kt:12)
        \tat kotlinx.coroutines.DispatchedTask.run(DispatchedTask.kt:108)
    """)

    assert found == drawn("""
        thrown kotlin.KotlinNullPointerException
          + com.acme.Till.count Till.kt:7
          ~~~
          + com.acme.ShopTest.the till is counted ShopTest.kt:12
          - kotlinx.coroutines.DispatchedTask.run DispatchedTask.kt:108
    """)


def test_a_message_of_many_lines_that_looks_like_frames():
    """Prose that starts with "at" is no frame."""
    found = read("""
        java.lang.IllegalStateException: it failed
          at the bottom of the stairs
          at once (really)
        \tat com.acme.Shop.buy(Shop.java:12)
    """)

    assert found == drawn("""
        thrown java.lang.IllegalStateException: it failed
          + com.acme.Shop.buy Shop.java:12
    """)


def test_dotnet_core():
    """Inner exceptions on lines of their own, lines of files, seams of awaited tasks, async methods by their names."""
    found = read("""
        Unhandled exception. Acme.CheckoutException: no price
         ---> System.IO.IOException: gone
           at Acme.Till.<CountAsync>d__3.MoveNext() in /srv/app/Till.cs:line 7
        --- End of stack trace from previous location ---
           at Acme.Shop.Cart.Total(IEnumerable`1 names)
           --- End of inner exception stack trace ---
           at Acme.Shop.<>c__DisplayClass0_0.<Buy>b__0(String name) in /srv/app/Shop.cs:line 12
           at System.Runtime.CompilerServices.TaskAwaiter.ThrowForNonSuccess(Task task)
           at Acme.Program.Main(String[] args) in C:\\\\app\\\\Program.cs:line 3
    """)

    assert found == drawn("""
        thrown Acme.CheckoutException: no price
          + Acme.Shop.<>c__DisplayClass0_0.<Buy>b__0 /srv/app/Shop.cs:12
          - System.Runtime.CompilerServices.TaskAwaiter.ThrowForNonSuccess
          + Acme.Program.Main C:\\\\app\\\\Program.cs:3
        cause System.IO.IOException: gone
          + Acme.Till.CountAsync /srv/app/Till.cs:7
          ~~~
          + Acme.Shop.Cart.Total
    """)


def test_dotnet_in_another_language():
    """.NET Framework speaks the language of the machine."""
    found = read("""
        System.NullReferenceException: Der Objektverweis wurde nicht auf eine Objektinstanz festgelegt.
           bei Acme.Shop.Buy() in C:\\\\app\\\\Shop.cs:Zeile 12.
           bei System.Threading.Tasks.Task.Execute()
    """)

    assert found == drawn("""
        thrown System.NullReferenceException: Der Objektverweis wurde nicht auf eine Objektinstanz festgelegt.
          + Acme.Shop.Buy C:\\\\app\\\\Shop.cs:12
          - System.Threading.Tasks.Task.Execute
    """)


def test_dotnet_members_whose_group_was_cut_off():
    """The first that is there is what was thrown, as far as can be told."""
    found = read("""
         ---> (Inner Exception #1) System.IO.IOException: gone
           at Acme.Till.Count() in /srv/app/Till.cs:line 7<---

         ---> (Inner Exception #2) System.TimeoutException: late
           at Acme.Shop.Buy() in /srv/app/Shop.cs:line 12<---
    """)

    assert found == drawn("""
        thrown System.IO.IOException: gone
          + Acme.Till.Count /srv/app/Till.cs:7
        member System.TimeoutException: late
          + Acme.Shop.Buy /srv/app/Shop.cs:12
    """)


def test_firefox_and_safari():
    found = read("""
        buy@https://shop.example/static/app.js?v=3:12:5
        async*checkout@https://shop.example/static/app.js:7:9
        @https://shop.example/node_modules/react@18/index.js:1:1
        forEach@[native code]
        Cart/<@https://shop.example/static/app.js line 3 > eval:1:1
    """)

    assert found == drawn("""
        thrown\x20
          + buy https://shop.example/static/app.js:12:5
          ~~~
          + checkout https://shop.example/static/app.js:7:9
          - react@18 https://shop.example/node_modules/react@18/index.js:1:1
          - forEach [native code]
          + Cart/< https://shop.example/static/app.js:1:1
    """)


def test_bundles_of_webpack():
    found = read("""
        Uncaught (in promise) TypeError: cart is undefined
            at Cart.total (webpack-internal:///(rsc)/./src/cart.tsx:12:5)
            at async Promise.all (index 1)
            at Object.emit (webpack:///./node_modules/@acme/bus/index.js?:3:9)
            at fn (webpack://shop/./src/shop.ts:1:2)
    """)

    assert found == drawn("""
        thrown TypeError: cart is undefined
          + Cart.total (rsc)/./src/cart.tsx:12:5
          ~~~
          - Promise.all index 1
          - @acme/bus.Object.emit ./node_modules/@acme/bus/index.js:3:9
          + fn ./src/shop.ts:1:2
    """)


def test_ruby_names_of_classes():
    """Since 3.4 the class is part of the name, in other quotes."""
    found = read("""
        /srv/app/till.rb:7:in 'Till#count': gone (IOError)
        \tfrom /usr/lib/ruby/gems/3.4.0/gems/rack-3.1/lib/rack/builder.rb:3:in 'block in Rack::Builder#call'
        \tfrom <internal:kernel>:187:in 'loop'
        \tfrom /srv/app/shop.rb:12:in 'Shop.buy'
    """)

    assert found == drawn("""
        thrown IOError: gone
          + Till.count /srv/app/till.rb:7
          - Rack::Builder.block in call /usr/lib/ruby/gems/3.4.0/gems/rack-3.1/lib/rack/builder.rb:3
          - loop <internal:kernel>:187
          + Shop.buy /srv/app/shop.rb:12
    """)


def test_php_of_opentelemetry():
    """The SDK of PHP writes traces as Java does."""
    found = read(
        """
        Acme.CheckoutException: no price
         at Acme.Shop.buy(Shop.php:12)
         at array_map(Unknown Source)
         at {main}(index.php:3)
        Caused by: PDOException: gone
         at PDO.query(Till.php:7)
         ... 2 more
        """,
        "php",
    )

    assert found == drawn("""
        thrown Acme.CheckoutException: no price
          + Acme.Shop.buy Shop.php:12
          ? array_map
          + {main} index.php:3
        cause PDOException: gone
          + PDO.query Till.php:7
          ? array_map
          + {main} index.php:3
    """)


def test_php_in_a_log_of_laravel():
    found = read("""
        [2026-03-01 12:00:00] production.ERROR: no price {"exception":"[object] (Acme\\\\Gone(code: 0): no price at /srv/app/Till.php:7)
        [stacktrace]
        #0 /srv/app/vendor/laravel/framework/Pipeline.php(12): Acme\\Till->count()
        #1 /srv/app/public/index.php(3): Illuminate\\Pipeline->then(Object(Closure))
        #2 {main}
        "}
    """)

    assert found == drawn("""
        thrown Acme\\Gone: no price
          + Acme\\Till.count /srv/app/Till.php:7
          - Illuminate\\Pipeline.then /srv/app/vendor/laravel/framework/Pipeline.php:12
          + {main} /srv/app/public/index.php:3
    """)


def test_ruby_in_a_log_of_rails():
    found = read("""
        NoMethodError (undefined method `price' for nil:NilClass):

        app/models/till.rb:7:in `count'
        /srv/gems/rack-3.1/lib/rack.rb:3:in `call'
    """)

    assert found == drawn("""
        thrown NoMethodError: undefined method `price' for nil:NilClass
          + count app/models/till.rb:7
          - call /srv/gems/rack-3.1/lib/rack.rb:3
    """)


def test_rust_in_colour():
    found = read("""
        The application panicked (crashed).
        Message:  gone
        Location: src/till.rs:7

          ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━ BACKTRACE ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━
                                        ⋮ 5 frames hidden ⋮
           6: shop::till::count::h0123456789abcdef
              at /srv/app/src/till.rs:7
           7: core::ops::function::FnOnce::call_once
    """)

    assert found == drawn("""
        thrown : The application panicked (crashed).
          + shop::till.count /srv/app/src/till.rs:7
          - core::ops::function::FnOnce.call_once
    """)


def test_boost_and_glog():
    boost = read("""
         0# acme::(anonymous namespace)::count(int) at /srv/app/till.cc:7
         1# main in ./shop
         2# __libc_start_main in /lib/x86_64-linux-gnu/libc.so.6
    """)
    glog = read("""
        *** Check failure stack trace: ***
            @     0x7f3b1c0a5d1d  google::LogMessage::Fail()
            @     0x55d241ab83b2  acme::Till::count()
            @     0x55d241ab859d  main
    """)

    assert boost == drawn("""
        thrown\x20
          + acme::<anonymous>.count /srv/app/till.cc:7
          + main ./shop
          - __libc_start_main /lib/x86_64-linux-gnu/libc.so.6
    """)
    assert glog == drawn("""
        thrown Check failure stack trace
          - google::LogMessage.Fail
          + acme::Till.count
          + main
    """)


def test_catchsegv():
    found = read("""
        *** Segmentation fault
        Register dump:

         RAX: 0000000000000000   RBX: 0000000000000000   RCX: 00007f1c2a3b4d90
        Backtrace:
        /srv/app/till.c:7(count)[0x400537]
        /srv/app/shop.c:12(main)[0x400557]
        /lib/x86_64-linux-gnu/libc.so.6(__libc_start_main+0xf5)[0x7f1c2a000b45]
    """)

    assert found == drawn("""
        thrown Segmentation fault
          + count /srv/app/till.c:7
          + main /srv/app/shop.c:12
          - __libc_start_main /lib/x86_64-linux-gnu/libc.so.6
    """)


def test_react_native():
    found = read("""
        TypeError: cart is undefined
            at total (address at index.android.bundle:1:2345)
            at forEach (native)
    """)

    assert found == drawn("""
        thrown TypeError: cart is undefined
          + total index.android.bundle:1:2345
          - forEach native
    """)


def test_rust_before_1_73():
    found = read("""
        thread 'tokio-runtime-worker' panicked at 'called `Result::unwrap()` on an `Err` value: "it's gone"', src/till.rs:7:9
        stack backtrace:
           0: std::panicking::begin_panic_handler
           1: <shop::Till as shop::Count>::count::h0123456789abcdef
                     at ./src/till.rs:7
           2: tokio::runtime::task::raw::poll
                     at /home/app/.cargo/registry/src/github.com-1ecc/tokio-1.0/src/raw.rs:3:1
    """)

    assert found == drawn("""
        thrown panic: called `Result::unwrap()` on an `Err` value: "it's gone"
          - std::panicking.begin_panic_handler
          + <shop::Till as shop::Count>.count ./src/till.rs:7
          - tokio::runtime::task::raw.poll /home/app/.cargo/registry/src/github.com-1ecc/tokio-1.0/src/raw.rs:3:1
    """)


def test_erlang_shell():
    found = read("""
        ** exception error: bad argument in an arithmetic expression
             in operator  +/2
                called as 1 + tea
             in function  till:count/1 (till.erl, line 7)
             in call from shop:buy/0 (shop.erl, line 12)
    """)

    assert found == drawn("""
        thrown error: bad argument in an arithmetic expression
          + till.count/1 till.erl:7
          + shop.buy/0 shop.erl:12
    """)


def test_python_inside_an_indented_log():
    found = read("""
        ERROR shop: request failed
            Traceback (most recent call last):
              File "/srv/app/shop.py", line 12, in buy
                total(cart)
              File "/usr/lib/python3/dist-packages/till/count/__init__.py", line 7, in count
                raise Gone(name)
            till.Gone: tea
    """)

    assert found == drawn("""
        thrown till.Gone: tea
          - till.count.count /usr/lib/python3/dist-packages/till/count/__init__.py:7
          + buy /srv/app/shop.py:12
    """)


def test_a_wrong_hint_is_looked_past():
    """A Python service logs what its Java neighbour answered."""
    stack = parse_stack("a.B: gone\n\tat com.acme.Shop.buy(Shop.java:12)", "python")

    assert stack is not None
    assert (stack.language, stack.origin and stack.origin.line) == ("java", 12)


def test_names_that_sdks_give_their_language():
    text = "Error: gone\n    at buy (/srv/app/shop.js:12:5)"

    assert {stack.language for name in ("nodejs", "webjs", "TypeScript") if (stack := parse_stack(text, name))} == {
        "javascript"
    }


def test_text_without_frames_is_no_stack():
    """A message alone says nothing of where."""
    for text in ("", "\n", "java.lang.NullPointerException", "ValueError: seven", "at", "the cat sat at the mat"):
        assert parse_stack(text) is None


def test_colours_are_taken_off():
    found = read("\x1b[31mError: gone\x1b[0m\n    at \x1b[1mbuy\x1b[0m (/srv/app/shop.js:12:5)")

    assert found == "thrown Error: gone\n  + buy /srv/app/shop.js:12:5"


def test_the_name_of_a_logger_is_not_the_error():
    found = read("""
        shop.till: request failed
        java.io.IOException: gone
        \tat com.acme.Till.count(Till.java:7)
    """)

    assert found == "thrown java.io.IOException: gone\n  + com.acme.Till.count Till.java:7"
