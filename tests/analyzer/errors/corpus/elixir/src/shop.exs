# Errors of a small shop: elixir shop.exs CASE
defmodule Shop.CheckoutError do
  defexception message: "checkout failed\nask the till"
end

defmodule Shop.Cart do
  def price(prices, name), do: Map.fetch!(prices, name)
  def total(prices, names), do: Enum.map(names, fn name -> price(prices, name) end) |> Enum.sum()
  def count(text), do: String.to_integer(text) + 1
  def pay(amount) when amount > 0, do: amount

  def checkout do
    total(%{}, ["tea"])
    :ok
  rescue
    error in KeyError -> reraise Shop.CheckoutError, [], __STACKTRACE__
  end
end

case System.argv() do
  ["plain"] -> Shop.Cart.price(%{}, "tea")
  ["anonymous"] -> Shop.Cart.total(%{}, ["tea"])
  ["erlang"] -> Shop.Cart.count("seven")
  ["clause"] -> Shop.Cart.pay(0)
  ["reraised"] -> Shop.Cart.checkout()
  ["task"] -> Task.async(fn -> Shop.Cart.price(%{}, "tea") end) |> Task.await()
end
