// A seeded generator (mulberry32), so that what a test does at random can be repeated.

export class Random {
  #state;
  constructor(seed) {
    this.#state = seed >>> 0;
  }
  /** In [0, 1). */
  next() {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let t = this.#state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  }
  /** A whole number in [low, high]. */
  between(low, high) {
    return low + Math.floor(this.next() * (high - low + 1));
  }
  /** That many random bytes. */
  bytes(length) {
    return Buffer.from(Array.from({ length }, () => this.between(0, 255)));
  }
  /** One of `[weight, value]` pairs. */
  pick(pairs) {
    let rest = this.next() * pairs.reduce((sum, [weight]) => sum + weight, 0);
    for (const [weight, value] of pairs) {
      rest -= weight;
      if (rest < 0) return value;
    }
    return pairs.at(-1)[1];
  }
}
