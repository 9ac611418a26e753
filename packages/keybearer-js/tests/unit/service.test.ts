import { expect, test } from "vitest";
import { sessionOf, type Answer } from "../../src/service.js";

const ATTRIBUTES = {
  sessionId: "01a3185c-5000-78b4-a652-e44da7f29e26",
  accessToken: "a.b.c",
  refreshToken: "kbr_x",
  expiresIn: 900,
};

function answer(attributes: object): Answer {
  return { status: 200, document: { data: { type: "session", id: "someone", attributes } }, clockOffset: 0 };
}

test("a session is read from its document", () => {
  const session = sessionOf(answer(ATTRIBUTES));
  expect(session).toMatchObject({
    id: ATTRIBUTES.sessionId,
    accessToken: "a.b.c",
    refreshToken: "kbr_x",
    lifetime: 900_000,
  });
});

test("no refresh is under way in a session that was just answered, whatever else the answer holds", () => {
  const session = sessionOf(answer({ ...ATTRIBUTES, idempotencyKey: "x".repeat(22), clockOffset: 5, lifetime: 1 }));
  expect(session).toMatchObject({ idempotencyKey: undefined, clockOffset: 0, lifetime: 900_000 });
});
