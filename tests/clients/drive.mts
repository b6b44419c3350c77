// The generated TypeScript client at work, under `tsc --strict`: prints what it saw as JSON.

import { type components, createClient } from "../../build/clients/typescript/index.ts";

type Schemas = components["schemas"];
type Refusal = Schemas["Error"];

const client = (key: string) =>
  createClient({
    baseUrl: process.env.RENSEI_URL ?? "",
    headers: { Authorization: `Bearer ${process.env[key]}` },
  });

const org = client("RENSEI_ORG_KEY");
const worker = client("RENSEI_WORKER_KEY");

/** The answer, when it is no refusal. */
function said<Answer>(came: { data?: Answer; error?: Refusal }): Answer {
  if (came.data === undefined) throw new Error(came.error?.error ?? "no answer");
  return came.data;
}

/** The events of a stream as they come. */
async function* events(body: ReadableStream<Uint8Array>): AsyncGenerator<[string, unknown]> {
  const decoder = new TextDecoder();
  let name = "";
  let rest = "";
  for await (const bytes of body) {
    const lines = (rest + decoder.decode(bytes, { stream: true })).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) {
      if (line.startsWith("event: ")) name = line.slice(7);
      if (line.startsWith("data: ")) yield [name, JSON.parse(line.slice(6))];
    }
  }
}

/** One session from the queue to its end, watched from outside. */
async function session() {
  const enqueued = said(
    await org.POST("/api/sessions", {
      body: { projectId: "proj_demo", issueId: "i-1", issueIdentifier: "ENG-1", priority: 1 },
    }),
  );
  const publicId = enqueued.session.id;

  const registered = said(
    await worker.POST("/api/workers/register", {
      body: { hostname: "generated", capacity: 1, projectId: "proj_demo" },
    }),
  );
  const workerId = registered.workerId;
  const ofWorker = { params: { path: { id: workerId } } };
  said(await worker.POST("/api/workers/{id}/heartbeat", { ...ofWorker, body: { activeCount: 0 } }));
  const polled = said(
    await worker.GET("/api/workers/{id}/poll", {
      params: { path: { id: workerId }, query: { waitSeconds: 5 } },
    }),
  );
  const [work] = polled.work;
  if (work === undefined) throw new Error("no work");
  const params = { path: { id: work.sessionId } };

  const report = async (status: Schemas["ReportedStatus"]) =>
    said(
      await worker.POST("/api/sessions/{id}/status", {
        params,
        body: { workerId, status, totalCostUsd: 0.5 },
      }),
    );

  await report("running");
  const stream = await org.GET("/api/sessions/{id}/stream", {
    params: { path: { id: publicId } },
    parseAs: "stream",
  });
  if (!stream.data) throw new Error(stream.error?.error);
  const seen = events(stream.data);
  const next = async () => (await seen.next()).value as [string, unknown];
  const first = await next();
  const activity = { type: "thought", content: "Hello from TypeScript" } as const;
  said(await worker.POST("/api/sessions/{id}/activity", { params, body: { workerId, activity } }));
  // It comes while the stream is open.
  const [name, data] = await next();
  const heard = data as Schemas["SessionActivity"];
  const summary = "Said hello.";
  said(await worker.POST("/api/sessions/{id}/completion", { params, body: { workerId, summary } }));
  await report("completed");
  const rest: [string, unknown][] = [];
  for await (const event of seen) rest.push(event);

  const { session: detail } = said(
    await org.GET("/api/public/sessions/{id}", { params: { path: { id: publicId } } }),
  );
  return {
    claimed: polled.claimedSessionIds.join() === work.sessionId,
    events: [first, [name, heard.type, heard.content], rest.at(-1)],
    status: detail.status,
    cost: detail.costUsd,
  };
}

/** A session that nobody knows: status and text of the refusal. */
async function refusal() {
  const { error, response } = await org.GET("/api/public/sessions/{id}", {
    params: { path: { id: "0".repeat(16) } },
  });
  if (error === undefined) throw new Error("it was not refused");
  const refused: Refusal = error;
  return [response.status, "Error", refused.error];
}

/** The identifiers of all sessions, two to a page. */
async function pages() {
  const found: string[][] = [];
  let cursor: string | null | undefined;
  do {
    const query: { limit: number; cursor?: string } = cursor ? { limit: 2, cursor } : { limit: 2 };
    const page: Schemas["SessionList"] = said(
      await org.GET("/api/public/sessions", { params: { query } }),
    );
    found.push(page.sessions.map((each) => each.identifier));
    cursor = page.nextCursor;
  } while (cursor);
  return found;
}

console.log(JSON.stringify({ session: await session(), refusal: await refusal(), pages: await pages() }));
