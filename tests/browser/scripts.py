"""Expressions for a page: what is drawn, and what is wrong with how it looks. Each gives plain data."""

from typing import Final

_LUMINANCE: Final = """
const parse = text => text.match(/[\\d.]+/g).map(Number);
const linear = c => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
const luminance = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
const ratio = (a, b) => {
  const [low, high] = [luminance(a), luminance(b)].sort((x, y) => x - y);
  return (high + 0.05) / (low + 0.05);
};
const behind = element => {
  for (let e = element; e; e = e.parentElement) {
    const color = parse(getComputedStyle(e).backgroundColor);
    if (color.length === 3 || color[3] === 1) return color;
  }
  return [255, 255, 255];
};
"""

OPEN_ALL: Final = "document.querySelectorAll('details').forEach(details => details.open = true)"

OUTSIDE: Final = """
[...document.body.querySelectorAll('*')]
  .filter(e => !e.closest('.scroll table') && e.getClientRects().length)
  .filter(e => e.getBoundingClientRect().right > innerWidth + 0.5 || e.getBoundingClientRect().left < -0.5)
  .map(e => e.outerHTML.slice(0, 120))
"""
"""Elements that reach out of the window, besides tables in frames that scroll."""

FAINT: Final = f"""(() => {{{_LUMINANCE}
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), faint = [];
  for (let node; node = walker.nextNode();) {{
    const e = node.parentElement;
    if (!node.data.trim() || e.localName === 'title') continue;
    const style = getComputedStyle(e), svg = e instanceof SVGElement;
    // A rung's number stands on its mark.
    const mark = e.classList.contains('rung-number') && e.parentElement.querySelector('circle, rect');
    const ground = mark ? parse(getComputedStyle(mark).fill) : behind(e);
    const seen = ratio(parse(svg ? style.fill : style.color), ground);
    if (seen < 4.5) faint.push([node.data, seen]);
  }}
  return faint;
}})()"""
"""Texts whose contrast is below WCAG's 4.5."""

OVERLAPPING: Final = """
[...document.querySelectorAll('svg.axis, svg.plot')].flatMap(svg => {
  const boxes = [...svg.querySelectorAll('.tick')].map(e => [e.textContent, e.getBoundingClientRect()]);
  return boxes.flatMap(([a, p], i) => boxes.slice(i + 1)
    .filter(([, q]) => p.left < q.right && q.left < p.right && p.top < q.bottom && q.top < p.bottom)
    .map(([b]) => [a, b]));
})
"""
"""Pairs of an axis' texts that lie on each other."""

BARS: Final = """
Object.fromEntries([...document.querySelectorAll('#model-%d .%s .row[data-option]')].map(row => {
  const svg = row.querySelector('svg.bar');
  const parts = [...svg.querySelectorAll('rect')].map(rect => [rect.classList[0], {
    width: rect.getBBox().width / svg.getBoundingClientRect().width,
    start: rect.getBBox().x / svg.getBoundingClientRect().width,
    text: rect.querySelector('title').textContent,
  }]);
  return [row.dataset.option, Object.fromEntries(parts)];
}))
"""
"""Of one model's chart: option → part → where it is drawn, as shares of the chart's width, and what it says."""

POINTS: Final = """
Object.fromEntries([...document.querySelectorAll('#model-%d .point')].map(point => {
  const mark = point.querySelector('circle, rect').getBoundingClientRect();
  const plot = point.parentElement.getBoundingClientRect();
  return [point.dataset.option, {
    x: (mark.left + mark.width / 2 - plot.left) / plot.width,
    y: (plot.top + plot.height - mark.top - mark.height / 2) / plot.height,
    number: point.querySelector('text')?.textContent,
    text: point.querySelector('title').textContent,
  }];
}))
"""
"""Of one model's chart of costs: option → where its mark is, as shares of the plot, and what it says."""

PLOT_TICKS: Final = """
[...document.querySelectorAll('#model-%d .plot .tick')].map(tick => {
  const plot = tick.parentElement.getBoundingClientRect(), at = tick.getBoundingClientRect();
  return [tick.classList.contains('side'), Number(tick.textContent), tick.classList.contains('side')
    ? (plot.bottom - at.top - at.height / 2) / plot.height : (at.left + at.width / 2 - plot.left) / plot.width];
})
"""
"""Texts of both axes of the chart of costs: whether it is the upright one, the value, the place as a share."""

FORBIDDEN: Final = """
new Promise(resolve => {
  document.addEventListener('securitypolicyviolation', event => resolve(event.effectiveDirective));
  document.body.append(Object.assign(document.createElement('script'), {textContent: 'window.ran = true'}));
  if (window.ran) resolve('it ran');
})
"""
"""What the page's policy says of a script that is put into it."""

TICKS: Final = """
[...document.querySelectorAll('#model-%d .%s .tick')].map(tick => {
  const plot = tick.parentElement.getBoundingClientRect(), at = tick.getBoundingClientRect();
  return [Number(tick.textContent), (at.left + at.width / 2 - plot.left) / plot.width];
})
"""
"""An axis' texts, each with the place of its middle as a share of the chart's width."""

TABLE: Final = """
[...document.querySelectorAll('#model-%d .%s tbody tr')].map(row => [...row.children].map(cell => cell.textContent))
"""
