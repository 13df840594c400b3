import { priceOf } from "./prices";

class Cart {
  constructor(private readonly names: string[]) {}

  total(): number {
    return this.names.map((name) => priceOf(name)).reduce((a, b) => a + b, 0);
  }
}

async function checkout(names: string[]): Promise<number> {
  await null;
  return new Cart(names).total();
}

async function main() {
  try {
    await checkout(["tea", "milk"]);
  } catch (error) {
    console.log((error as Error).stack);
  }
}

void main();
