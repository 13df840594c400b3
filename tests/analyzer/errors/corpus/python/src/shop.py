"""Errors of a small shop: python shop.py CASE (3.11 or newer for the groups)."""

import asyncio
import json
import multiprocessing
import sys


class CheckoutError(Exception):
    pass


def price(prices, name):
    return prices[name]


def plain():
    price({"milk": 1}, "tea")


def cause():
    try:
        price({}, "tea")
    except KeyError as error:
        raise CheckoutError("no price:\n  tea\n\nask the till") from error


def context():
    try:
        price({}, "tea")
    except KeyError:
        try:
            json.loads("{")
        except ValueError:
            int("seven")


def syntax():
    compile("def f(:\n  pass", "cart.py", "exec")


def recursion(n=0):
    return recursion(n + 1) + 1


def note():
    error = ValueError("seven is not a number")
    error.add_note("while counting the till")
    raise error


def carets():
    basket = {"tea": None}
    return basket["tea"]["price"] + basket["milk"]["price"]


async def fails(after, error):
    await asyncio.sleep(after)
    raise error


async def checkout():
    async with asyncio.TaskGroup() as group:
        group.create_task(fails(0, ValueError("one")))
        group.create_task(fails(0, TypeError("two\nlines")))


def group():
    asyncio.run(checkout())


def nested_group():
    try:
        price({}, "tea")
    except KeyError as error:
        inner = ExceptionGroup("inner", [ValueError("a"), OSError(2, "gone")])
        try:
            plain()
        except KeyError as other:
            raise ExceptionGroup("outer", [other, inner, TypeError("b")]) from error


def awaited():
    asyncio.run(asyncio.wait_for(fails(1, ValueError("never")), 0.01))


def pool():
    with multiprocessing.Pool(1) as workers:
        workers.map(int, ["seven"])


def silent():
    assert price({"tea": 0}, "tea")


if __name__ == "__main__":
    globals()[sys.argv[1]]()
