// Curves over two logarithmic axes as SVG, small multiples side by side.

const PANEL = { width: 240, height: 200, left: 46, top: 34, right: 12, bottom: 34 };

const decades = (from, to) => {
  const found = [];
  for (let power = Math.floor(Math.log10(from)); power <= Math.ceil(Math.log10(to)); power++)
    found.push(10 ** power);
  return found.filter((value) => value >= from / 1.001 && value <= to * 1.001);
};
const short = (value) => (value >= 1e6 ? `${value / 1e6}M` : value >= 1e3 ? `${value / 1e3}k` : `${value}`);

/**
 * @param title - stands above all
 * @param panels - { title, points: [{ x, y }] }
 * @param unit - of y
 * @returns the text of an SVG file
 */
export function curves(title, panels, unit) {
  const columns = 3;
  const rows = Math.ceil(panels.length / columns);
  const width = columns * PANEL.width;
  const height = 30 + rows * PANEL.height;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" role="img" aria-label="${title}">`,
    '<style>',
    'svg { background: #fff; font: 11px system-ui, sans-serif; }',
    '.grid { stroke: #e3e6ea; } .axis { fill: #57606a; } .title { fill: #1f2328; font-size: 14px; font-weight: 600; } .name { fill: #1f2328; font-weight: 600; }',
    '.curve { fill: none; stroke: #0a7f5a; stroke-width: 2; } .point { fill: #0a7f5a; }',
    '</style>',
    `<text class="title" x="12" y="20">${title}</text>`,
    ...panels.flatMap((panel, i) =>
      draw(panel, (i % columns) * PANEL.width, 30 + Math.floor(i / columns) * PANEL.height, unit),
    ),
    '</svg>',
    '',
  ].join('\n');
}

function draw({ title, points }, originX, originY, unit) {
  const scale = (values, start, end) => {
    const [low, high] = [Math.min(...values), Math.max(...values)];
    const span = Math.log(high / low) || 1;
    return Object.assign((value) => start + (Math.log(value / low) / span) * (end - start), { low, high });
  };
  const x = scale(
    points.map((point) => point.x),
    originX + PANEL.left,
    originX + PANEL.width - PANEL.right,
  );
  const y = scale(
    points.map((point) => point.y),
    originY + PANEL.height - PANEL.bottom,
    originY + PANEL.top,
  );
  const bottom = originY + PANEL.height - PANEL.bottom;
  const path = points.map((point) => `${x(point.x).toFixed(1)},${y(point.y).toFixed(1)}`).join(' ');
  return [
    `<text class="name" x="${originX + PANEL.left}" y="${originY + 18}">${title}</text>`,
    ...decades(y.low, y.high).flatMap((value) => [
      `<line class="grid" x1="${originX + PANEL.left}" x2="${originX + PANEL.width - PANEL.right}" y1="${y(value).toFixed(1)}" y2="${y(value).toFixed(1)}"/>`,
      `<text class="axis" x="${originX + PANEL.left - 4}" y="${(y(value) + 4).toFixed(1)}" text-anchor="end">${short(value)} ${unit}</text>`,
    ]),
    ...[points[0], points.at(-1)].map(
      (point, i) =>
        `<text class="axis" x="${x(point.x).toFixed(1)}" y="${bottom + 16}" text-anchor="${i === 0 ? 'start' : 'end'}">${short(point.x)}</text>`,
    ),
    `<polyline class="curve" points="${path}"/>`,
    ...points.map(
      (point) => `<circle class="point" cx="${x(point.x).toFixed(1)}" cy="${y(point.y).toFixed(1)}" r="3"/>`,
    ),
  ];
}
