package acme

object Cart {
  case class Item(name: String, count: Int)

  def total(items: List[Item]): Int = items.map(item => 12 / item.count).sum

  def main(args: Array[String]): Unit =
    try total(List(Item("tea", 1), Item("milk", 0)))
    catch { case error: ArithmeticException => throw new IllegalStateException("no total", error) }
}
