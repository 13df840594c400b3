// Errors of a small shop: shop CASE
package main

import (
	"fmt"
	"os"
	"runtime/debug"
	"sync"

	"github.com/pkg/errors"
)

type Cart struct{ prices map[string]*int }

func (c *Cart) price(name string) int { return *c.prices[name] }

func total[T any](items []T, price func(T) int) (sum int) {
	for _, item := range items {
		sum += price(item)
	}
	return sum
}

func nilPointer() { fmt.Println(total([]string{"tea"}, (&Cart{}).price)) }

func index() { fmt.Println([]int{1}[len(os.Args)]) }

func customError() { panic(fmt.Errorf("no price: %w", os.ErrNotExist)) }

func recovered() {
	defer func() {
		if found := recover(); found != nil {
			fmt.Fprintf(os.Stderr, "panic: %v\n\n%s", found, debug.Stack())
		}
	}()
	nilPointer()
}

func repanicked() {
	defer func() {
		panic(fmt.Sprintf("while closing: %v", recover()))
	}()
	nilPointer()
}

func inGoroutine() {
	var done sync.WaitGroup
	done.Add(1)
	go func() {
		defer done.Done()
		nilPointer()
	}()
	done.Wait()
}

func deadlock() {
	var lock sync.Mutex
	lock.Lock()
	lock.Lock()
}

func concurrentMap() {
	prices := map[int]int{}
	for range 4 {
		go func() {
			for n := 0; ; n++ {
				prices[n%8] = n
			}
		}()
	}
	select {}
}

func readPrices() error {
	_, err := os.Open("/nowhere/prices.json")
	return errors.WithStack(err)
}

func wrapped() {
	err := errors.Wrap(readPrices(), "checkout failed")
	fmt.Fprintf(os.Stderr, "%+v\n", err)
}

func main() {
	cases := map[string]func(){
		"nil_pointer": nilPointer, "index": index, "custom_error": customError, "recovered": recovered,
		"repanicked": repanicked, "in_goroutine": inGoroutine, "deadlock": deadlock,
		"concurrent_map": concurrentMap, "wrapped": wrapped,
	}
	cases[os.Args[1]]()
}
