"""Forms of traces of compiled languages that no runtime at hand prints: what is written, and what is read."""

from __future__ import annotations

from tests.support.stacks import drawn, read


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
