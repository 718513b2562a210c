// A picture of models by the bytes that are shipped of them, as SVG: accuracies, by the logarithm of the error, so
// that the steps from 90 to 95 and from 98 to 99% are told apart; or bits a byte.

const WIDTH = 760;
const HEIGHT = 440;
const LEFT = 64;
const RIGHT = 24;
const TOP = 64;
const BOTTOM = 48;
/** Rough size of a label's letters. */
const LETTER = { width: 6.9, height: 13 };

const logScale = (from, to, start, end) => (value) =>
  start + (Math.log(value / from) / Math.log(to / from)) * (end - start);
/** Test accuracies of { name, bytes, accuracy, series } against bytes; see `againstBytes`. */
export function accuracyAgainstBytes(points, series) {
  return againstBytes(
    {
      title: 'MNIST test accuracy against bytes shipped',
      bytes: [500, 1_000, 3_000, 10_000, 30_000, 100_000],
      values: [0.88, 0.9, 0.92, 0.94, 0.95, 0.96, 0.97, 0.98, 0.985, 0.99],
      place: (accuracy) => 100 - accuracy * 100,
      label: (accuracy) => `${Number((accuracy * 100).toFixed(1))}%`,
    },
    points.map(({ accuracy, ...point }) => ({ ...point, value: accuracy })),
    series,
  );
}

/**
 * Draws points of { name, bytes, value, series }.
 * @param axes - title; bytes and values with a line each, the worst value first; `place`, which is what a value's
 * place is the logarithm of; `label` of a value
 * @param series - classes of the points and what the legend calls them
 * @returns the text of an SVG file
 */
export function againstBytes(
  { title, bytes: columns, values, place = (value) => value, label },
  points,
  series,
) {
  const x = logScale(columns[0], columns.at(-1), LEFT, WIDTH - RIGHT);
  const places = logScale(place(values[0]), place(values.at(-1)), HEIGHT - BOTTOM, TOP);
  const y = (value) => places(place(value));
  const grid = [
    ...columns.flatMap((bytes) => [
      `<line class="grid" x1="${x(bytes).toFixed(1)}" x2="${x(bytes).toFixed(1)}" y1="${TOP}" y2="${HEIGHT - BOTTOM}"/>`,
      `<text class="axis" x="${x(bytes).toFixed(1)}" y="${HEIGHT - BOTTOM + 18}" text-anchor="middle">${bytes / 1000} KB</text>`,
    ]),
    ...values.flatMap((value) => [
      `<line class="grid" x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${y(value).toFixed(1)}" y2="${y(value).toFixed(1)}"/>`,
      `<text class="axis" x="${LEFT - 8}" y="${(y(value) + 4).toFixed(1)}" text-anchor="end">${label(value)}</text>`,
    ]),
  ];
  const legend = Object.entries(series).map(([name, text], i) => {
    const at = LEFT + 8 + i * 244;
    return `<circle class="${name}" cx="${at}" cy="44" r="6"/><text class="label" x="${at + 12}" y="48">${text}</text>`;
  });
  const marks = points.map(({ name, bytes, value, series: kind }) => ({
    ...{ series: kind, label: name, cx: x(bytes), cy: y(value) },
  }));
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${title}">`,
    '<style>',
    'svg { background: #fff; font: 12px system-ui, sans-serif; }',
    '.grid { stroke: #e3e6ea; } .axis { fill: #57606a; } .label, .title { fill: #1f2328; } .title { font-size: 14px; font-weight: 600; }',
    '.forward { fill: #0a7f5a; } .ste { fill: #2f5fd0; } .theirs, .recurrent { fill: #b35900; }',
    '</style>',
    `<text class="title" x="${LEFT}" y="22">${title}</text>`,
    ...legend,
    ...grid,
    ...placed(marks).map(
      ({ series: name, cx, cy, text, label: words }) =>
        `<circle class="${name}" cx="${cx.toFixed(1)}" cy="${cy.toFixed(1)}" r="6"/>` +
        `<text class="label" x="${text.x.toFixed(1)}" y="${text.y.toFixed(1)}">${words}</text>`,
    ),
    '</svg>',
    '',
  ].join('\n');
}

/** Puts each label beside its point, where it covers neither another label nor a point. */
function placed(marks) {
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
