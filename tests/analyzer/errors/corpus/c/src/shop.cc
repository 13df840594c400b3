// Errors of a small shop: shop CASE; under gdb, or with -fsanitize=address,undefined
#include <climits>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <execinfo.h>
#include <map>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace acme {

struct Cart {
    std::map<std::string, int> prices;
    int price(const std::string &name) const { return prices.at(name); }
    template <typename T> int count(T *item) const { return *item + 1; }
};

namespace {
int first(int *items) { return items[0]; }
} // namespace

int read_freed(int n) {
    int *items = (int *)malloc(n * sizeof(int));
    memset(items, 1, n * sizeof(int));
    free(items);
    return first(items);
}

int overflow(int n) { return INT_MAX - 1 + n; }

void trace() {
    void *found[32];
    backtrace_symbols_fd(found, backtrace(found, 32), 2);
}

} // namespace acme

int main(int argc, char **argv) {
    std::string name = argv[1];
    acme::Cart cart;
    if (name == "null") return cart.count<int>(nullptr);
    if (name == "freed") return acme::read_freed(argc + 6);
    if (name == "overflow") return acme::overflow(argc) & 1;
    if (name == "thrown") return cart.price("tea");
    if (name == "aborted") abort();
    if (name == "backtrace") acme::trace();
    if (name == "thread") std::thread([&] { cart.count<int>(nullptr); }).join();
    return 0;
}
