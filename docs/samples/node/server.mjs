// A correlation id for every request, with nothing but Node 18 or later: read, made when absent, echoed,
// passed on, and written into every log line. Run it: PORT=3000 SERVICE=api-gateway node server.mjs
import { AsyncLocalStorage } from 'node:async_hooks';
import { createHash, randomUUID } from 'node:crypto';
import { createServer } from 'node:http';
import { hostname } from 'node:os';
import { pathToFileURL } from 'node:url';

const service = process.env.SERVICE ?? 'api-gateway';
const environment = process.env.ENVIRONMENT ?? 'dev';
const requests = new AsyncLocalStorage(); // what belongs to the request, wherever it goes on: timers, promises, callbacks
const usable = /^[\x21-\x7e]{1,128}$/;

/** The id of the request that is being answered; empty outside of one. */
export function correlationId() {
  return requests.getStore()?.correlationId ?? '';
}

/** Wraps a handler: everything it awaits sees the id of its own request. */
export function withCorrelation(handler) {
  return (req, res) => {
    const sent = req.headers['x-correlation-id'];
    const id = typeof sent === 'string' && usable.test(sent) ? sent : randomUUID();
    res.setHeader('x-correlation-id', id);
    requests.run({ correlationId: id, traceparent: req.headers.traceparent }, () => {
      Promise.resolve()
        .then(() => handler(req, res))
        .catch((error) => {
          log('ERROR', 'request failed', { error, request: { method: req.method, path: req.url, status_code: 500 } });
          if (!res.headersSent) res.writeHead(500);
          res.end();
        });
    });
  };
}

/** Calls another service: the id goes with it, and who calls. */
export function call(url, options = {}) {
  return fetch(url, {
    ...options,
    headers: { ...options.headers, 'x-correlation-id': correlationId(), 'x-source-service': service },
  });
}

/** One line of JSON that keeps the log schema (docs/logs.md). */
export function log(level, message, { error, request, user, ...context } = {}) {
  const [, traceId = '', spanId = ''] = requests.getStore()?.traceparent?.split('-') ?? [];
  const line = {
    timestamp: new Date().toISOString(),
    level,
    message,
    correlation_id: correlationId(),
    trace_id: /^[0-9a-f]{32}$/.test(traceId) ? traceId : '',
    span_id: /^[0-9a-f]{16}$/.test(spanId) ? spanId : '',
    service,
    environment,
    host: hostname(),
  };
  if (error || level === 'ERROR') line.error = describe(error ?? new Error(message), message);
  if (request) line.request = request;
  if (user) line.user = user;
  if (Object.keys(context).length) line.context = context;
  console.log(JSON.stringify(line));
}

// The same place in the code is the same error: the type and the first frame, not the message.
function describe(error, message) {
  const frame = error.stack?.split('\n')[1]?.trim().replace(/:\d+:\d+\)?$/, '') ?? message;
  const fingerprint = createHash('sha256').update(`${error.name}\0${frame}`).digest('hex').slice(0, 16);
  return { type: error.name, message: error.message, stack_trace: error.stack ?? '', fingerprint };
}

async function handle(req, res) {
  const began = performance.now();
  log('INFO', 'request begun', { request: { method: req.method, path: req.url } });
  await new Promise((done) => setImmediate(done)); // another turn of the loop: the id is still there
  if (req.url === '/broken') throw new TypeError('no such card');
  const next = process.env.NEXT_URL;
  const answer = next ? await (await call(next)).json() : { seen: req.headers['x-correlation-id'] ?? '', from: req.headers['x-source-service'] ?? '' };
  const duration_ms = Math.round(performance.now() - began);
  log('INFO', 'request answered', { request: { method: req.method, path: req.url, duration_ms, status_code: 200 } });
  res.writeHead(200, { 'content-type': 'application/json' });
  res.end(JSON.stringify(answer));
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const server = createServer(withCorrelation(handle));
  server.listen(Number(process.env.PORT ?? 3000), '127.0.0.1', () => {
    log('INFO', 'listening', { port: server.address().port });
  });
}
