// A model in JavaScript: what the contract (infra/contract/README.md) asks of a model, around the function `score`.

import { KinesisClient, PutRecordsCommand } from "@aws-sdk/client-kinesis";
import { NodeHttpHandler } from "@smithy/node-http-handler";

const { MODEL, SCORES_STREAM, STACK } = process.env;
const ENDPOINTS = ["fraud"];

// By default this client speaks HTTP/2, which the Kinesis endpoint of the local system does not.
const kinesis = new KinesisClient({ requestHandler: new NodeHttpHandler() });

/** A payload that does not fit the model. The message goes to clients and into the archive: it must not quote the payload. */
class Invalid extends Error {}

/** The model. */
function score({ amount }) {
  if (typeof amount !== "number") throw new Invalid("/amount is not a number");
  return { probability: Math.min(1, amount / 10_000) };
}

/** The handler: `handler.handle`. What cannot be sent is handed over again, from the first record of it on. */
export async function handle({ Records }) {
  const messages = Records.flatMap(({ kinesis: { data, sequenceNumber } }) => {
    const message = answer(Buffer.from(data, "base64").toString());
    return message ? [{ ...message, sequenceNumber }] : [];
  });
  const unsent = await put(messages);
  count(messages.length - unsent.length);
  const batchItemFailures = unsent.slice(0, 1).map(({ sequenceNumber }) => ({ itemIdentifier: sequenceNumber }));
  return { batchItemFailures };
}

/** The record with the score of one request, or nothing if the model is not to score it. */
function answer(text) {
  const request = read(text);
  if (!request || !ENDPOINTS.includes(request.envelope.endpoint) || request.envelope.skip?.includes(MODEL)) return undefined;
  const started = Date.now() * 1000;
  const result = JSON.stringify(evaluate(request, started)).slice(1, -1);
  const times = `"started_us":${started},"finished_us":${Date.now() * 1000}`;
  const data = `{"v":1,"envelope":${envelopeOf(text)},"model":${JSON.stringify(MODEL)},${times},${result}}`;
  return { Data: Buffer.from(data), PartitionKey: request.envelope.key };
}

/** The request, or nothing if the record has none that this version of the contract describes. */
function read(text) {
  try {
    const request = JSON.parse(text);
    if (request?.v === 1) return request;
  } catch {
    // A message must not fail the others of its batch.
  }
  console.error("a record is no request of version 1");
  return undefined;
}

function evaluate({ envelope, payload }, now) {
  const failure = (kind, message) => ({ failure: { kind, message } });
  if (envelope.deadline_us <= now) return failure("expired", "the request's deadline had passed");
  if (payload === undefined) return failure("failed", "this model does not read stored payloads");
  try {
    return { score: score(payload) };
  } catch (error) {
    return error instanceof Invalid ? failure("invalid", error.message) : failure("failed", error.name);
  }
}

/** The text of the envelope, which goes back byte for byte. It is the first object within the message. */
function envelopeOf(text) {
  const start = text.indexOf("{", 1);
  let depth = 0;
  for (const { 0: token, index } of text.slice(start).matchAll(/"(?:[^"\\]|\\.)*"|[{}]/g)) {
    if (token === "{") depth += 1;
    if (token === "}" && (depth -= 1) === 0) return text.slice(start, start + index + 1);
  }
  throw new SyntaxError("the envelope does not end");
}

/** A line of metrics: without it the model's alarm says that it is silent. `console` would make a message of it. */
function count(Scored) {
  const metrics = { Namespace: "Rendezvous", Dimensions: [["Stack", "Model"]], Metrics: [{ Name: "Scored" }] };
  const _aws = { Timestamp: Date.now(), CloudWatchMetrics: [metrics] };
  process.stdout.write(`${JSON.stringify({ _aws, Stack: STACK, Model: MODEL, Scored })}\n`);
}

/** Puts the messages on the stream of scores, three times if it must; returns those that the stream has not taken. */
async function put(messages) {
  let left = messages;
  for (let attempt = 0; left.length > 0 && attempt < 3; attempt += 1) {
    const Records = left.map(({ Data, PartitionKey }) => ({ Data, PartitionKey }));
    try {
      const reply = await kinesis.send(new PutRecordsCommand({ StreamName: SCORES_STREAM, Records }));
      left = left.filter((_, i) => reply.Records[i].ErrorCode);
    } catch (error) {
      console.error(`scores were not sent: ${error.name}`);
    }
  }
  return left;
}
