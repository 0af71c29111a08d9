"use strict";

// From packed numbers to pixels.

/** The bytes of a text in base64. */
function decoded(text) {
  return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
}

/** Where each of n pixels lies among the values of one dimension: both neighbors, and how far. */
function places(nValues, n) {
  const found = { first: new Int32Array(n), second: new Int32Array(n), share: new Float32Array(n) };
  for (let i = 0; i < n; i++) {
    // As torch's interpolate with align_corners=False.
    const place = Math.max(0, ((i + 0.5) * nValues) / n - 0.5);
    found.first[i] = Math.min(Math.floor(place), nValues - 1);
    found.second[i] = Math.min(found.first[i] + 1, nValues - 1);
    found.share[i] = place - found.first[i];
  }
  return found;
}

/** Values of rows and columns, bilinearly brought to another size. */
function resized(values, height, width, newHeight, newWidth) {
  const y = places(height, newHeight);
  const x = places(width, newWidth);
  const wide = new Float32Array(height * newWidth);
  for (let row = 0; row < height; row++) {
    for (let i = 0; i < newWidth; i++) {
      const left = values[row * width + x.first[i]];
      const right = values[row * width + x.second[i]];
      wide[row * newWidth + i] = left + (right - left) * x.share[i];
    }
  }
  const result = new Float32Array(newHeight * newWidth);
  for (let j = 0; j < newHeight; j++) {
    const upper = y.first[j] * newWidth;
    const lower = y.second[j] * newWidth;
    for (let i = 0; i < newWidth; i++) {
      result[j * newWidth + i] = wide[upper + i] + (wide[lower + i] - wide[upper + i]) * y.share[j];
    }
  }
  return result;
}

/** The grays of a picture below its map, from 0 to 255; without a picture, a middle gray. */
function backdrop(picture, height, width, tint) {
  const grays = new Uint8Array(height * width).fill(255 * tint.gray);
  if (picture === null) return grays;
  const canvas = element("canvas", { height, width });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(picture, 0, 0, width, height);
  const { data } = context.getImageData(0, 0, width, height);
  const [red, green, blue] = tint.luminance;
  for (let i = 0; i < grays.length; i++) {
    const light =
      red * LINEAR[data[4 * i]] + green * LINEAR[data[4 * i + 1]] + blue * LINEAR[data[4 * i + 2]];
    grays[i] = Math.round(255 * (tint.backdrop[0] + tint.backdrop[1] * fromLinear(light)));
  }
  return grays;
}

/** Draws a map over the grays of a canvas, where the network saw the picture, and hatches the rest. */
function drawMap(canvas, map, seen, grays, colors) {
  const { height, width } = canvas;
  const values = new Int8Array(decoded(map.values).buffer);
  const [y, x] = [placed(seen[0], seen[2], height), placed(seen[1], seen[3], width)];
  const levels = resized(values, map.height, map.width, y.length, x.length);
  const period = Math.max(4, Math.floor(Math.min(height, width) / 24));
  const pixels = new Uint32Array(height * width);
  for (let row = 0; row < height; row++) {
    const j = row - y.start;
    for (let column = 0; column < width; column++) {
      const [place, i] = [row * width + column, column - x.start];
      if (j >= 0 && i >= 0 && j < y.length && i < x.length) {
        pixels[place] = colors.at(grays[place], levels[j * x.length + i]);
      } else {
        const strength = (row + column) % period < period / 3 ? 0.65 : 0.4;
        pixels[place] = colors.at(grays[place] * (1 - strength) + 255 * 0.35 * strength, 0);
      }
    }
  }
  paint(canvas, pixels);
}

/** Pixels from the first of a part of a side to its end, which may lie beyond the side. */
function placed(from, to, side) {
  const start = Math.min(Math.round(from * side), side - 1);
  return { start, length: Math.max(1, Math.round(to * side) - start) };
}

function paint(canvas, pixels) {
  const bytes = new Uint8ClampedArray(pixels.buffer);
  canvas.getContext("2d").putImageData(new ImageData(bytes, canvas.width, canvas.height), 0, 0);
}

/** The edges of a mask's pixels, as a path of SVG. */
function outline(runs, height, width) {
  const inside = new Uint8Array(height * width);
  let end = 0;
  runs.forEach((length, i) => inside.fill(i % 2, end, (end += length)));
  const at = (x, y) => x >= 0 && y >= 0 && x < width && y < height && inside[y * width + x] === 1;
  const parts = [];
  // Joins edges of pixels, side by side along lines, to long ones.
  const scan = (nLines, n, isEdge, path) => {
    for (let line = 0; line <= nLines; line++) {
      for (let i = 0, start = -1; i <= n; i++) {
        const edge = i < n && isEdge(line, i);
        if (edge && start < 0) start = i;
        if (!edge && start >= 0) {
          parts.push(path(line, start, i));
          start = -1;
        }
      }
    }
  };
  scan(height, width, (y, x) => at(x, y) !== at(x, y - 1), (y, from, to) => `M${from} ${y}H${to}`);
  scan(width, height, (x, y) => at(x, y) !== at(x - 1, y), (x, from, to) => `M${x} ${from}V${to}`);
  return parts.join("");
}
