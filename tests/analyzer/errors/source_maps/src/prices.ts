export interface Price {
  amount: number;
}

const prices = new Map<string, Price>([["tea", { amount: 3 }]]);

export function priceOf(name: string): number {
  const found = prices.get(name);
  // A comment, so that lines are not what they are in the bundle.
  return found!.amount;
}
