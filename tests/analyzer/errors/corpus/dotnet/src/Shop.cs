using System;
using System.Collections.Generic;
using System.Linq;
using System.Threading.Tasks;

namespace Acme.Shop
{
    public class CheckoutException : Exception
    {
        public CheckoutException(string message, Exception inner) : base(message, inner) { }
    }

    public class Cart
    {
        readonly Dictionary<string, int> prices = new Dictionary<string, int>();

        public Cart(bool sound) { if (!sound) throw new ArgumentException("unsound", "sound"); }

        public int Price(string name) { return prices[name]; }

        public int Total(IEnumerable<string> names) { return names.Select(name => Price(name)).Sum(); }

        public async Task<int> PriceLater(string name)
        {
            await Task.Yield();
            return Price(name);
        }

        public async Task<int> Checkout()
        {
            try { return await PriceLater("tea"); }
            catch (KeyNotFoundException error) { throw new CheckoutException("checkout failed", error); }
        }
    }

    public static class Program
    {
        static void Chain()
        {
            try
            {
                try { new Cart(true).Total(new[] { "tea" }); }
                catch (KeyNotFoundException error) { throw new InvalidOperationException("no total\nof the cart", error); }
            }
            catch (InvalidOperationException error) { throw new CheckoutException("checkout failed", error); }
        }

        public static int Main(string[] args)
        {
            try
            {
                switch (args[0])
                {
                    case "plain": new Cart(true).Price(null); break;
                    case "constructor": new Cart(false); break;
                    case "lambda": new Cart(true).Total(new[] { "tea" }); break;
                    case "chain": Chain(); break;
                    case "waited": new Cart(true).Checkout().GetAwaiter().GetResult(); break;
                    case "aggregate":
                        Task.WaitAll(new Cart(true).PriceLater("tea"), new Cart(true).PriceLater("milk"));
                        break;
                }
            }
            catch (Exception error) { Console.Error.WriteLine(error.ToString()); return 1; }
            return 0;
        }
    }
}
