<?php
// Errors of a small shop: php shop.php CASE
namespace Acme\Shop;

class CheckoutException extends \RuntimeException {}

class Cart
{
    private array $prices = [];

    public function price(string $name): int
    {
        if (!isset($this->prices[$name])) {
            throw new \OutOfBoundsException("no price (3): $name");
        }
        return $this->prices[$name];
    }

    public function total(array $names): int
    {
        return array_sum(array_map(fn ($name) => $this->price($name), $names));
    }

    public static function checkout(): int
    {
        try {
            return (new self())->total(["tea"]);
        } catch (\OutOfBoundsException $error) {
            try {
                throw new \LogicException("no total\nof the cart", 7, $error);
            } catch (\LogicException $wrapped) {
                throw new CheckoutException("checkout failed", 0, $wrapped);
            }
        }
    }
}

function typed(int $n): int
{
    return $n;
}

$cases = [
    "plain" => fn () => (new Cart())->price("tea"),
    "callback" => fn () => (new Cart())->total(["tea"]),
    "chain" => fn () => Cart::checkout(),
    "type_error" => fn () => typed("seven"),
    "division" => fn () => intdiv(1, 0),
];

function run(callable $case): void
{
    $case();
}

if (($argv[2] ?? "") === "string") {
    try {
        run($cases[$argv[1]]);
    } catch (\Throwable $error) {
        fwrite(STDERR, (string) $error . "\n");
    }
} else {
    run($cases[$argv[1]]);
}
