/** What localStorage is to the pages of an origin. */
export class MemoryStorage {
  readonly #items = new Map<string, string>();

  getItem(key: string): string | null {
    return this.#items.get(key) ?? null;
  }

  setItem(key: string, value: string): void {
    this.#items.set(key, value);
  }

  removeItem(key: string): void {
    this.#items.delete(key);
  }

  /** The refresh token, wherever the client keeps it. Throws when there is none. */
  get refreshToken(): string {
    const found = /kbr_[\w.-]+/.exec([...this.#items.values()].join("\n"));
    if (!found) throw new Error("No refresh token is stored.");
    return found[0];
  }

  /** A line break in the place of the third character of the access token. */
  damage(): void {
    for (const [key, value] of this.#items) {
      const isRecord = value.startsWith("{");
      this.#items.set(key, value.replace("eyJ", isRecord ? String.raw`ey\n` : "ey\n"));
    }
  }
}
