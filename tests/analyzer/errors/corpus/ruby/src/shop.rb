# Errors of a small shop: ruby shop.rb CASE [full]
require "json"

class CheckoutError < StandardError; end

class Cart
  def initialize(prices)
    @prices = prices
  end

  def price(name)
    @prices.fetch(name)
  end

  def total(names)
    names.sum { |name| price(name) }
  end

  def self.checkout
    new({}).total(["tea"])
  rescue KeyError => error
    raise CheckoutError, "checkout failed\nask the till"
  end
end

CASES = {
  "plain" => -> { Cart.new({}).price("tea") },
  "block" => -> { Cart.new({}).total(["tea"]) },
  "cause" => -> { Cart.checkout },
  "library" => -> { JSON.parse("{") },
  "nil" => -> { nil.price },
}

def run(name)
  CASES.fetch(name).call
end

order = ARGV[1]
if order == "backtrace"
  begin
    run(ARGV[0])
  rescue => error
    warn error.backtrace.join("\n")
  end
elsif order
  begin
    run(ARGV[0])
  rescue => error
    warn error.full_message(highlight: order == "colour", order: order == "bottom" ? :bottom : :top)
  end
else
  run(ARGV[0])
end
