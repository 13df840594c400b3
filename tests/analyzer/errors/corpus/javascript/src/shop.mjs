// Errors of a small shop: node shop.mjs CASE
import fs from "node:fs/promises";
import { makePrice } from "./prices.cjs";

class CheckoutError extends Error {
  constructor(message, options) {
    super(message, options);
    this.name = "CheckoutError";
    this.code = "E_CHECKOUT";
  }
}

class Cart {
  constructor(items) {
    this.total = items.map((item) => item.price.amount).reduce((a, b) => a + b);
  }
  get size() {
    return this.items.length;
  }
}

const cases = {
  plain() {
    new Cart([{ price: { amount: 1 } }, {}]);
  },
  getter() {
    return Object.create(Cart.prototype).size;
  },
  commonjs() {
    return makePrice(undefined);
  },
  async waited() {
    await fs.readFile("/nowhere/prices.json");
  },
  async waited_deep() {
    const read = async () => {
      await null;
      return JSON.parse("{");
    };
    const load = async () => (await read()).tea;
    await Promise.all([load()]);
  },
  cause() {
    try {
      cases.plain();
    } catch (error) {
      try {
        throw new TypeError("no total\nof the cart", { cause: error });
      } catch (wrapped) {
        throw new CheckoutError("checkout failed", { cause: wrapped });
      }
    }
  },
  async aggregate() {
    await Promise.any([Promise.reject(new Error("first")), Promise.reject(new RangeError("second"))]);
  },
  evaluated() {
    (0, eval)("function inner() { null.price } inner()");
  },
  sorted() {
    [2, 1].sort(function byPrice(a, b) {
      return a.price.amount - b.price.amount;
    });
  },
};

// A name that this process did not make up: the stack as an SDK would send it, without what Node prints around.
if (process.argv[3] === "stack") {
  Promise.resolve()
    .then(cases[process.argv[2]])
    .catch((error) => console.error(error.stack));
} else {
  await cases[process.argv[2]]();
}
