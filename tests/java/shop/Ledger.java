package shop;

/** Where the trouble begins. */
final class Ledger {
    void book(int order) {
        if (order % 2 == 1) {
            throw new IllegalArgumentException("account of order " + order + " is locked"); // begins here
        }
    }
}
