// The network of an exported page: fp16 weights, tokens of tokenizer v1, and the forward pass of
// zebjax.network.model for one position.
"use strict";

(function () {
  const FEATURES = ["high_pip", "low_pip", "is_double", "count", "player", "is_in_hand",
    "declaration", "token_type"];
  const EPSILON = 1e-5;

  function toFloat(half) {
    const sign = half & 0x8000 ? -1 : 1, exponent = (half >> 10) & 31, fraction = half & 1023;
    if (exponent === 0) return sign * fraction * 2 ** -24;
    return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
  }

  // Reads what `zebjax.table.export` wrote: names and shapes, and all numbers in one string.
  function read(file) {
    const bytes = Uint8Array.from(atob(file.data), (letter) => letter.charCodeAt(0));
    const arrays = {};
    let at = 0;
    for (const [name, shape] of file.arrays) {
      const size = shape.reduce((product, side) => product * side, 1);
      const values = new Float32Array(size);
      for (let place = 0; place < size; place += 1, at += 2) {
        values[place] = toFloat(bytes[at] | (bytes[at + 1] << 8));
      }
      arrays[name] = values;
    }
    return { config: file.config, arrays, name: file.name };
  }

  // The valid tokens of the mover's view, each with its place among the 36.
  function tokens(game) {
    const { HIGH, LOW, POINTS, isDouble, mover, movers } = zebjax.rules;
    const me = mover(game), declaration = game.declaration;
    const tile = (id) => [HIGH[id], LOW[id], Number(isDouble(id)), POINTS[id] / 5];
    const found = [{ place: 0, row: [0, 0, 0, 0, 0, 0, declaration, 0] }];
    game.hands[me].forEach((id, slot) => {
      if (game.plays.includes(id)) return;
      found.push({ place: 1 + slot, row: [...tile(id), 0, 1, declaration, 1] });
    });
    const seats = movers(game);
    game.plays.forEach((id, ply) => {
      const seat = (seats[ply] - me + 4) % 4;
      found.push({ place: 8 + ply, row: [...tile(id), seat, 0, declaration, 2] });
    });
    return found;
  }

  // Kernels [inputs, outputs] as [outputs, inputs]: a dot product then reads both in order.
  function transpose(kernel, outputs) {
    const inputs = kernel.length / outputs, turned = new Float32Array(kernel.length);
    for (let input = 0; input < inputs; input += 1) {
      for (let at = 0; at < outputs; at += 1) {
        turned[at * inputs + input] = kernel[input * outputs + at];
      }
    }
    return turned;
  }

  // rows x inputs times the kernel, plus the bias. Four outputs share each read of x.
  function linear(net, name, x, rows) {
    const kernel = net.kernels[name], bias = net.arrays[`${name}.bias`];
    const outputs = bias.length, inputs = kernel.length / outputs;
    const y = new Float32Array(rows * outputs), last = outputs - 3;
    for (let row = 0; row < rows; row += 1) {
      const start = row * inputs;
      let at = 0;
      for (; at < last; at += 4) {
        let a = 0, b = 0, c = 0, d = 0, k = at * inputs;
        for (let input = start; input < start + inputs; input += 1, k += 1) {
          const value = x[input];
          a += value * kernel[k];
          b += value * kernel[k + inputs];
          c += value * kernel[k + 2 * inputs];
          d += value * kernel[k + 3 * inputs];
        }
        const to = row * outputs + at;
        y[to] = a + bias[at];
        y[to + 1] = b + bias[at + 1];
        y[to + 2] = c + bias[at + 2];
        y[to + 3] = d + bias[at + 3];
      }
      for (; at < outputs; at += 1) {
        let sum = bias[at];
        for (let input = 0; input < inputs; input += 1) {
          sum += x[start + input] * kernel[at * inputs + input];
        }
        y[row * outputs + at] = sum;
      }
    }
    return y;
  }

  function layerNorm(net, name, x, width) {
    const scale = net.arrays[`${name}.scale`], bias = net.arrays[`${name}.bias`];
    const y = new Float32Array(x.length);
    for (let start = 0; start < x.length; start += width) {
      let mean = 0, square = 0;
      for (let at = 0; at < width; at += 1) mean += x[start + at] / width;
      for (let at = 0; at < width; at += 1) square += (x[start + at] - mean) ** 2 / width;
      const by = 1 / Math.sqrt(square + EPSILON);
      for (let at = 0; at < width; at += 1) {
        y[start + at] = (x[start + at] - mean) * by * scale[at] + bias[at];
      }
    }
    return y;
  }

  function softmax(values) {
    const top = Math.max(...values);
    const shares = values.map((value) => Math.exp(value - top));
    const sum = shares.reduce((all, share) => all + share, 0);
    return shares.map((share) => share / sum);
  }

  function attention(qkv, rows, width, heads) {
    const size = width / heads, y = new Float32Array(rows * width);
    for (let head = 0; head < heads; head += 1) {
      for (let query = 0; query < rows; query += 1) {
        const q = query * 3 * width + head * size, scores = new Array(rows);
        for (let key = 0; key < rows; key += 1) {
          const k = key * 3 * width + width + head * size;
          let sum = 0;
          for (let at = 0; at < size; at += 1) sum += qkv[q + at] * qkv[k + at];
          scores[key] = sum / Math.sqrt(size);
        }
        softmax(scores).forEach((share, key) => {
          const v = key * 3 * width + 2 * width + head * size;
          for (let at = 0; at < size; at += 1) {
            y[query * width + head * size + at] += share * qkv[v + at];
          }
        });
      }
    }
    return y;
  }

  // Abramowitz and Stegun 7.1.26; its error is below 1.5e-7.
  function erf(x) {
    const t = 1 / (1 + 0.3275911 * Math.abs(x));
    const series = ((((1.061405429 * t - 1.453152027) * t + 1.421413741) * t - 0.284496736) * t
      + 0.254829592) * t;
    return Math.sign(x) * (1 - series * Math.exp(-x * x));
  }

  const gelu = (x) => x * (1 + erf(x / Math.SQRT2)) / 2;
  const plus = (x, y) => x.map((value, at) => value + y[at]);

  function embed(net, seen) {
    const width = net.config.embed_dim;
    const parts = seen.map(({ row }) => FEATURES.flatMap((feature, at) => {
      const table = net.arrays[`embed.${feature}.embedding`];
      const size = table.length / net.cardinalities[feature];
      return Array.from(table.subarray(row[at] * size, (row[at] + 1) * size));
    }));
    const x = linear(net, "embed_project", Float32Array.from(parts.flat()), seen.length);
    const position = net.arrays["position.embedding"];
    seen.forEach(({ place }, token) => {
      for (let at = 0; at < width; at += 1) {
        x[token * width + at] += position[place * width + at];
      }
    });
    return x;
  }

  // Evaluates the position for its mover.
  // Gives policy logits by slot (null for a played slot), the value, and belief shares by tile.
  function evaluate(net, game) {
    const { embed_dim: width, n_heads: heads, n_layers: layers } = net.config;
    const seen = tokens(game), rows = seen.length;
    let x = embed(net, seen);
    for (let layer = 0; layer < layers; layer += 1) {
      const name = `layers.${String(layer).padStart(2, "0")}`;
      const qkv = linear(net, `${name}.qkv`, layerNorm(net, `${name}.norm1`, x, width), rows);
      x = plus(x, linear(net, `${name}.attention_out`, attention(qkv, rows, width, heads), rows));
      const hidden = linear(net, `${name}.ff_in`, layerNorm(net, `${name}.norm2`, x, width), rows);
      x = plus(x, linear(net, `${name}.ff_out`, hidden.map((each) => Math.max(0, each)), rows));
    }
    const pooled = new Float32Array(width);
    x.forEach((value, at) => { pooled[at % width] += value / rows; });
    const scores = linear(net, "policy", x, rows);
    const policy = new Array(7).fill(null);
    seen.forEach(({ place }, token) => {
      if (place >= 1 && place <= 7) policy[place - 1] = scores[token];
    });
    const hidden = linear(net, "value_hidden", pooled, 1).map(gelu);
    const value = Math.tanh(linear(net, "value_out", hidden, 1)[0]);
    let belief = null;
    if (net.arrays["belief_out.bias"]) {
      const logits = linear(net, "belief_out", linear(net, "belief_hidden", pooled, 1).map(gelu), 1);
      belief = Array.from({ length: 28 }, (_, tile) =>
        softmax(Array.from(logits.subarray(3 * tile, 3 * tile + 3))));
    }
    return { policy, value, belief };
  }

  function load(file) {
    const net = read(file), kernels = {};
    for (const name of Object.keys(net.arrays).filter((each) => each.endsWith(".kernel"))) {
      const layer = name.slice(0, -".kernel".length);
      kernels[layer] = transpose(net.arrays[name], net.arrays[`${layer}.bias`].length);
    }
    return { ...net, kernels, cardinalities: file.cardinalities };
  }

  zebjax.network = { load, evaluate, softmax };
})();
