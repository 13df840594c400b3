"""Forms of traces of scripts that no runtime at hand prints: what is written, and what is read."""

from __future__ import annotations

from tests.support.stacks import drawn, read


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
