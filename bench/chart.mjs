// The README's picture: test accuracy against the bytes of what is shipped, as SVG. Accuracy goes by
// the logarithm of the error, so that the steps from 90 to 95 and from 98 to 99% are told apart.

const WIDTH = 760;
const HEIGHT = 440;
const LEFT = 64;
const RIGHT = 24;
const TOP = 64;
const BOTTOM = 48;
const BYTES = [500, 1_000, 3_000, 10_000, 30_000, 100_000];
const PERCENT = [88, 90, 92, 94, 95, 96, 97, 98, 98.5, 99];
/** Rough size of a label's letters. */
const LETTER = { width: 6.9, height: 13 };

const logScale = (from, to, start, end) => (value) =>
  start + (Math.log(value / from) / Math.log(to / from)) * (end - start);
const x = logScale(BYTES[0], BYTES.at(-1), LEFT, WIDTH - RIGHT);
const errorScale = logScale(100 - PERCENT[0], 100 - PERCENT.at(-1), HEIGHT - BOTTOM, TOP);
const y = (accuracy) => errorScale(100 - accuracy * 100);

/**
 * Draws points of { name, bytes, accuracy, series }.
 * @param series - classes of the points and what the legend calls them
 * @returns the text of an SVG file
 */
export function accuracyAgainstBytes(points, series) {
  const grid = [
    ...BYTES.flatMap((bytes) => [
      `<line class="grid" x1="${x(bytes).toFixed(1)}" x2="${x(bytes).toFixed(1)}" y1="${TOP}" y2="${HEIGHT - BOTTOM}"/>`,
      `<text class="axis" x="${x(bytes).toFixed(1)}" y="${HEIGHT - BOTTOM + 18}" text-anchor="middle">${bytes / 1000} KB</text>`,
    ]),
    ...PERCENT.flatMap((percent) => [
      `<line class="grid" x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${y(percent / 100).toFixed(1)}" y2="${y(percent / 100).toFixed(1)}"/>`,
      `<text class="axis" x="${LEFT - 8}" y="${(y(percent / 100) + 4).toFixed(1)}" text-anchor="end">${percent}%</text>`,
    ]),
  ];
  const legend = Object.entries(series).map(([name, label], i) => {
    const at = LEFT + 8 + i * 244;
    return `<circle class="${name}" cx="${at}" cy="44" r="6"/><text class="label" x="${at + 12}" y="48">${label}</text>`;
  });
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="MNIST test accuracy against bytes">`,
    '<style>',
    'svg { background: #fff; font: 12px system-ui, sans-serif; }',
    '.grid { stroke: #e3e6ea; } .axis { fill: #57606a; } .label, .title { fill: #1f2328; } .title { font-size: 14px; font-weight: 600; }',
    '.forward { fill: #0a7f5a; } .ste { fill: #2f5fd0; } .theirs { fill: #b35900; }',
    '</style>',
    `<text class="title" x="${LEFT}" y="22">MNIST test accuracy against bytes shipped</text>`,
    ...legend,
    ...grid,
    ...placed(points).map(
      ({ series: name, cx, cy, text, label }) =>
        `<circle class="${name}" cx="${cx.toFixed(1)}" cy="${cy.toFixed(1)}" r="6"/>` +
        `<text class="label" x="${text.x.toFixed(1)}" y="${text.y.toFixed(1)}">${label}</text>`,
    ),
    '</svg>',
    '',
  ].join('\n');
}

/** Puts each label beside its point, where it covers neither another label nor a point. */
function placed(points) {
  const marks = points.map(({ name, bytes, accuracy, series }) => ({
    ...{ series, label: name, cx: x(bytes), cy: y(accuracy) },
  }));
  const taken = marks.map(({ cx, cy }) => ({ left: cx - 7, right: cx + 7, top: cy - 7, bottom: cy + 7 }));
  return marks.map((mark) => {
    const width = mark.label.length * LETTER.width;
    const spots = [
      [mark.cx + 10, mark.cy + 4],
      [mark.cx - 10 - width, mark.cy + 4],
      [mark.cx - width / 2, mark.cy - 11],
      [mark.cx - width / 2, mark.cy + 20],
      [mark.cx + 8, mark.cy - 9],
      [mark.cx + 8, mark.cy + 17],
      [mark.cx - 8 - width, mark.cy - 9],
      [mark.cx - 8 - width, mark.cy + 17],
    ];
    const boxOf = ([left, base]) => ({
      left,
      right: left + width,
      top: base - LETTER.height + 3,
      bottom: base + 3,
    });
    const inside = ({ left, right }) => left > LETTER.width * 2 && right < WIDTH;
    const own = ({ left, top }) => left === mark.cx - 7 && top === mark.cy - 7;
    const free = (box) =>
      inside(box) &&
      taken.every(
        (other) =>
          own(other) ||
          box.right < other.left ||
          box.left > other.right ||
          box.bottom < other.top ||
          box.top > other.bottom,
      );
    const spot = spots.find((candidate) => free(boxOf(candidate))) ?? spots[0];
    taken.push(boxOf(spot));
    return { ...mark, text: { x: spot[0], y: spot[1] } };
  });
}
