/**
 * The rule `own-lines`: a function is at most `max` lines long. The lines of functions inside it are theirs: what makes
 * an object out of functions is as long as they are, and no harder to read. Blank lines and comments do not count.
 *
 * @type {import("eslint").Rule.RuleModule}
 */
export const ownLines = {
  meta: {
    type: "suggestion",
    schema: [{ type: "object", properties: { max: { type: "integer" } }, additionalProperties: false }],
    messages: { long: "This function has {{lines}} lines of its own; {{max}} is the limit." },
  },
  create(context) {
    const { max } = /** @type {{ max: number }} */ (context.options[0]);
    /** @type {Set<number>[]} */
    const open = [];

    const enter = () => {
      open.push(new Set());
    };
    /** @param {import("estree").Node} node */
    const leave = (node) => {
      const lines = open.pop()?.size ?? 0;
      if (lines > max) context.report({ node, messageId: "long", data: { lines: `${lines}`, max: `${max}` } });
    };
    return {
      ":function": enter,
      ":function:exit": leave,
      /** @param {import("estree").Node} node */
      "*"(node) {
        if (!node.loc) return;
        open.at(-1)?.add(node.loc.start.line).add(node.loc.end.line);
      },
    };
  },
};
