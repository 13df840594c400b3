package shop;

import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse.BodyHandlers;

/** Takes orders: GET /checkout on the first port asks payment, which is at the second. */
public final class Frontend {
    public static void main(String[] arguments) throws IOException {
        var charge = URI.create("http://127.0.0.1:" + arguments[1] + "/charge");
        var client = HttpClient.newHttpClient();
        var request = HttpRequest.newBuilder(charge).POST(BodyPublishers.noBody()).build();
        Service.serve(Integer.parseInt(arguments[0]), "/checkout", () -> {
            var answer = client.send(request, BodyHandlers.discarding());
            if (answer.statusCode() >= 500) {
                throw new IOException("payment answered " + answer.statusCode());
            }
        });
    }

    private Frontend() {}
}
