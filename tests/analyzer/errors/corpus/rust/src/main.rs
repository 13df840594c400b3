//! Errors of a small shop: shop CASE
use anyhow::Context;
use std::collections::HashMap;

mod cart {
    use std::collections::HashMap;

    pub struct Cart {
        pub prices: HashMap<String, u32>,
    }

    pub trait Priced {
        fn price(&self, name: &str) -> u32;
    }

    impl Priced for Cart {
        #[inline(never)]
        fn price(&self, name: &str) -> u32 {
            *self.prices.get(name).unwrap()
        }
    }

    #[inline(never)]
    pub fn total(cart: &Cart, names: &[&str]) -> u32 {
        names.iter().map(|name| cart.price(name)).sum()
    }
}

#[inline(never)]
fn read_prices() -> anyhow::Result<String> {
    std::fs::read_to_string("/nowhere/prices.json").context("no prices")
}

#[inline(never)]
fn checkout() -> anyhow::Result<String> {
    read_prices().context("checkout failed")
}

fn main() -> anyhow::Result<()> {
    let empty = cart::Cart { prices: HashMap::new() };
    match std::env::args().nth(1).as_deref() {
        Some("unwrap") => println!("{}", cart::total(&empty, &["tea"])),
        Some("index") => println!("{}", [1, 2][std::env::args().count()]),
        Some("message") => panic!("the till\nis empty"),
        Some("expect") => {
            "seven".parse::<u32>().expect("a count");
        }
        Some("thread") => {
            std::thread::Builder::new()
                .name("till".into())
                .spawn(move || cart::total(&empty, &["tea"]))?
                .join()
                .unwrap();
        }
        Some("anyhow") => {
            checkout()?;
        }
        _ => {}
    }
    Ok(())
}
