// Sends one failing trace with the OpenTelemetry SDK for Node.js, and exits 0 when it was acknowledged.
//
//   node send.mjs PROTOCOL ENDPOINT [COMPRESSION]
//
// PROTOCOL is grpc, proto or json; ENDPOINT is http://host:port; COMPRESSION is gzip or none.
// The trace: frontend -> payment, where the card is declined. Its trace id is written to standard output.

import { SpanKind, SpanStatusCode, context, trace } from "@opentelemetry/api";
import { OTLPTraceExporter as GrpcExporter } from "@opentelemetry/exporter-trace-otlp-grpc";
import { OTLPTraceExporter as JsonExporter } from "@opentelemetry/exporter-trace-otlp-http";
import { OTLPTraceExporter as ProtoExporter } from "@opentelemetry/exporter-trace-otlp-proto";
import { resourceFromAttributes } from "@opentelemetry/resources";
import { InMemorySpanExporter, NodeTracerProvider, SimpleSpanProcessor } from "@opentelemetry/sdk-trace-node";

const [protocol, endpoint, compression = "none"] = process.argv.slice(2);

const exporters = {
  grpc: () => new GrpcExporter({ url: endpoint, compression }),
  proto: () => new ProtoExporter({ url: `${endpoint}/v1/traces`, compression }),
  json: () => new JsonExporter({ url: `${endpoint}/v1/traces`, compression }),
};
if (!(protocol in exporters) || !endpoint) {
  console.error("usage: node send.mjs grpc|proto|json http://host:port [gzip|none]");
  process.exit(2);
}

const finished = new InMemorySpanExporter();

function service(name) {
  const provider = new NodeTracerProvider({
    resource: resourceFromAttributes({ "service.name": name, "service.version": "1.2.3" }),
    spanProcessors: [new SimpleSpanProcessor(finished)],
  });
  return provider.getTracer("firstfault-node-client");
}

function inside(parent, work) {
  return context.with(trace.setSpan(context.active(), parent), work);
}

new NodeTracerProvider().register(); // for the context manager
const frontend = service("frontend");
const payment = service("payment");

const root = frontend.startSpan("GET /checkout", { kind: SpanKind.SERVER });
inside(root, () => {
  const call = frontend.startSpan("payment.Charge", {
    kind: SpanKind.CLIENT,
    attributes: { "rpc.system": "grpc", "server.address": "payment" },
  });
  inside(call, () => {
    const charge = payment.startSpan("Charge", { kind: SpanKind.SERVER });
    const error = new Error("declined by bank");
    error.name = "CardError";
    charge.recordException(error);
    charge.setStatus({ code: SpanStatusCode.ERROR, message: error.message });
    charge.end();
  });
  call.setStatus({ code: SpanStatusCode.ERROR });
  call.end();
});
root.setStatus({ code: SpanStatusCode.ERROR, message: "checkout failed" });
root.end();

const exporter = exporters[protocol]();
exporter.export(finished.getFinishedSpans(), async (result) => {
  await exporter.shutdown();
  if (result.code !== 0) {
    console.error(`not acknowledged: ${result.error}`);
    process.exit(1);
  }
  console.log(root.spanContext().traceId);
});
