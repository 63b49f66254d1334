// Java's HttpClient against the gateway. Arguments: base URL, CA certificate (PEM), "HTTP_1_1" or
// "HTTP_2", bytes of an upload, rounds. Prints a line a check and "done" at the end; any difference throws.
import java.io.ByteArrayInputStream;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyStore;
import java.security.MessageDigest;
import java.security.cert.CertificateFactory;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.Random;
import java.util.concurrent.CompletableFuture;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManagerFactory;

class Client {
  static SSLContext trusting(String pem) throws Exception {
    KeyStore store = KeyStore.getInstance(KeyStore.getDefaultType());
    store.load(null, null);
    byte[] bytes = Files.readAllBytes(Path.of(pem));
    store.setCertificateEntry("ca",
        CertificateFactory.getInstance("X.509").generateCertificate(new ByteArrayInputStream(bytes)));
    TrustManagerFactory factory = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
    factory.init(store);
    SSLContext context = SSLContext.getInstance("TLS");
    context.init(null, factory.getTrustManagers(), null);
    return context;
  }

  static String sha256(byte[] bytes) throws Exception {
    return HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(bytes));
  }

  static void require(boolean holds, String what) {
    if (!holds) throw new IllegalStateException(what);
    System.out.println("ok " + what);
  }

  public static void main(String[] arguments) throws Exception {
    String base = arguments[0];
    HttpClient.Version version = HttpClient.Version.valueOf(arguments[2]);
    HttpClient client = HttpClient.newBuilder().sslContext(trusting(arguments[1])).version(version).build();
    byte[] body = new byte[Integer.parseInt(arguments[3])];
    new Random(7).nextBytes(body);
    String digest = sha256(body);
    for (int round = 0; round < Integer.parseInt(arguments[4]); ++round) {
      List<CompletableFuture<HttpResponse<byte[]>>> answers = new ArrayList<>();
      for (int i = 0; i < 8; ++i) {
        HttpRequest.Builder request = HttpRequest.newBuilder().timeout(Duration.ofSeconds(60));
        if (i % 2 == 0) {
          request.uri(URI.create(base + "/bytes/" + body.length));
        } else {
          request.uri(URI.create(base + "/upload")).POST(HttpRequest.BodyPublishers.ofByteArray(body));
        }
        answers.add(client.sendAsync(request.build(), HttpResponse.BodyHandlers.ofByteArray()));
      }
      for (int i = 0; i < 8; ++i) {
        HttpResponse<byte[]> answer = answers.get(i).get();
        require(answer.statusCode() == 200 && answer.version() == version, "status and version " + i);
        if (i % 2 == 0) {
          System.out.println("download " + sha256(answer.body()));
        } else {
          require(new String(answer.body()).contains(digest), "the upload's hash " + i);
        }
      }
    }
    System.out.println("done");
  }
}
