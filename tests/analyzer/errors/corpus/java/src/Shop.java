import java.util.*;
import java.util.concurrent.*;

public class Shop {
    static class CheckoutException extends RuntimeException {
        CheckoutException(String message, Throwable cause) { super(message, cause); }
    }

    static class Door implements AutoCloseable {
        public void close() { throw new IllegalStateException("the door is stuck\nand has been for a while"); }
    }

    static int price(Map<String, Integer> prices, String name) { return prices.get(name); }

    static void npe() { Map.of("tea", 3).get(null); }

    static void chain() {
        try {
            price(new HashMap<>(), "tea");
        } catch (NullPointerException error) {
            try {
                throw new IllegalArgumentException("no price: tea", error);
            } catch (IllegalArgumentException wrapped) {
                throw new CheckoutException("checkout failed", wrapped);
            }
        }
    }

    static void suppressed() throws Exception {
        try (Door door = new Door()) {
            throw new java.io.IOException("disk full");
        }
    }

    static void suppressedWithCause() {
        IllegalStateException outer = new IllegalStateException("outer");
        outer.addSuppressed(new RuntimeException("beside", new java.io.IOException("cause of beside")));
        throw new RuntimeException("top", outer);
    }

    static void circular() {
        RuntimeException one = new RuntimeException("one");
        RuntimeException two = new RuntimeException("two", one);
        one.initCause(two);
        throw one;
    }

    static void lambda() { List.of(1, 2, 0).stream().map(n -> 6 / n).toList(); }

    static void future() throws Exception {
        CompletableFuture.supplyAsync(() -> price(new HashMap<>(), "tea")).get();
    }

    static int deep(int n) { return deep(n + 1) + 1; }

    static void concurrent() {
        List<Integer> all = new ArrayList<>(List.of(1, 2, 3));
        for (Integer one : all) all.remove(one);
    }

    static void proxy() {
        Runnable inner = () -> { throw new UnsupportedOperationException(); };
        Runnable outer = (Runnable) java.lang.reflect.Proxy.newProxyInstance(
            Shop.class.getClassLoader(), new Class<?>[] {Runnable.class}, (p, m, a) -> m.invoke(inner));
        outer.run();
    }

    public static void main(String[] args) throws Exception {
        switch (args[0]) {
            case "npe" -> npe();
            case "chain" -> chain();
            case "suppressed" -> suppressed();
            case "suppressed_with_cause" -> suppressedWithCause();
            case "circular" -> circular();
            case "lambda" -> lambda();
            case "future" -> future();
            case "stack_overflow" -> deep(0);
            case "concurrent" -> concurrent();
            case "proxy" -> proxy();
        }
    }
}
