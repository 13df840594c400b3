package shop;

import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;

/** An HTTP service with one route. What its work throws is answered as 500 and thrown on, for whoever watches it. */
final class Service {
    interface Work {
        void run() throws Exception;
    }

    static void serve(int port, String path, Work work) throws IOException {
        var server = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), port), 0);
        server.createContext(path, exchange -> {
            try {
                work.run();
                exchange.sendResponseHeaders(204, -1);
            } catch (Exception failure) {
                exchange.sendResponseHeaders(500, -1);
                throw new IllegalStateException(failure);
            }
        });
        server.start();
        System.out.println("ready");
    }

    private Service() {}
}
