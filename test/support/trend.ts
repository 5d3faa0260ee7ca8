/** Which way a figure goes over time, where single looks at it are noisy. */

export interface Look {
  readonly minutes: number;
  readonly value: number;
}

/** Growth per minute: the median of the slopes between any two looks (Theil–Sen), which a few odd ones do not move. */
export function trendPerMinute(looks: readonly Look[]): number {
  const slopes = looks.flatMap((from, at) =>
    looks.slice(at + 1).map((to) => (to.value - from.value) / (to.minutes - from.minutes)),
  );
  if (slopes.length === 0) throw new Error('a trend takes two looks');
  slopes.sort((a, b) => a - b);
  const middle = slopes.length >> 1;
  const upper = slopes[middle] as number;
  return slopes.length % 2 === 1 ? upper : ((slopes[middle - 1] as number) + upper) / 2;
}
