package shop;

import java.io.IOException;
import java.util.concurrent.atomic.AtomicInteger;

/** Charges cards: POST /charge on the port of the argument. Every second order fails; the ledger's exception is wrapped twice on its way out. */
public final class Payment {
    private static final AtomicInteger ORDERS = new AtomicInteger();
    private static final Ledger LEDGER = new Ledger();

    public static void main(String[] arguments) throws IOException {
        Service.serve(Integer.parseInt(arguments[0]), "/charge", () -> charge(ORDERS.getAndIncrement()));
    }

    private static void charge(int order) throws ChargeException {
        try {
            book(order);
        } catch (IllegalStateException failure) {
            throw new ChargeException("order " + order + " is not charged", failure);
        }
    }

    private static void book(int order) {
        try {
            LEDGER.book(order);
        } catch (IllegalArgumentException failure) {
            throw new IllegalStateException("the ledger refused", failure);
        }
    }

    private static final class ChargeException extends Exception {
        ChargeException(String message, Throwable cause) {
            super(message, cause);
        }
    }

    private Payment() {}
}
