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

  // The bytes of a base64 text; a loop, because a call for each byte takes most of the loading.
  function bytes(text) {
    const letters = atob(text), data = new Uint8Array(letters.length);
    for (let at = 0; at < data.length; at += 1) data[at] = letters.charCodeAt(at);
    return data;
  }

  // float16 numbers, little-endian.
  function toFloats(data) {
    const values = new Float32Array(data.length / 2);
    for (let at = 0; at < values.length; at += 1) {
      values[at] = toFloat(data[2 * at] | (data[2 * at + 1] << 8));
    }
    return values;
  }

  // Undoes zlib's compression.
  function inflate(data) {
    const stream = new Blob([data]).stream().pipeThrough(new DecompressionStream("deflate"));
    return new Response(stream).arrayBuffer();
  }

  // Reads what `zebjax.table.export` wrote: names and shapes, and all numbers in one string.
  function read(file) {
    const values = toFloats(bytes(file.data)), arrays = {};
    let at = 0;
    for (const [name, shape] of file.arrays) {
      const size = shape.reduce((product, side) => product * side, 1);
      arrays[name] = values.slice(at, at + size);
      at += size;
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

  const upTo = (multiple, count) => Math.ceil(count / multiple) * multiple;

  // A product in the order in which `linear` reads it: columns in blocks of four, and in a block
  // input by input. Numbers of inputs and outputs are multiples of four; what is added is 0.
  // `scale` and `shift` are those of the LayerNorm before it: (x * scale + shift) @ kernel + bias.
  function product(arrays, name, scale = null, shift = null) {
    const kernel = arrays[`${name}.kernel`], bias = arrays[`${name}.bias`];
    const width = bias.length, rows = kernel.length / width;
    const inputs = upTo(4, rows), outputs = upTo(4, width);
    const packed = new Float64Array(inputs * outputs), sums = Float64Array.from(bias);
    for (let input = 0; input < rows; input += 1) {
      for (let at = 0; at < width; at += 1) {
        const weight = kernel[input * width + at], block = at - (at % 4);
        packed[block * inputs + 4 * input + (at % 4)] = scale ? scale[input] * weight : weight;
        if (shift) sums[at] += shift[input] * weight;
      }
    }
    const all = new Float64Array(outputs);
    all.set(sums);
    return { kernel: packed, bias: all, inputs, outputs };
  }

  // Activations of so many tokens; `linear` takes four at once.
  const activations = (rows, width) => new Float64Array(upTo(4, rows) * width);

  // x times the kernel, plus the bias. Four rows and four columns at once: sixteen sums share each
  // read. Weights are read once, in the order in which they are in memory. With Float32Array V8
  // would convert each number that it reads; sums in single precision cost three times as much.
  function linear({ kernel, bias, inputs, outputs }, x) {
    const y = new Float64Array(x.length / inputs * outputs);
    for (let at = 0; at < outputs; at += 4) {
      const b0 = bias[at], b1 = bias[at + 1], b2 = bias[at + 2], b3 = bias[at + 3];
      for (let p = 0, to = at; p < x.length; to += 4 * outputs) {
        let a0 = b0, a1 = b1, a2 = b2, a3 = b3, c0 = b0, c1 = b1, c2 = b2, c3 = b3;
        let d0 = b0, d1 = b1, d2 = b2, d3 = b3, e0 = b0, e1 = b1, e2 = b2, e3 = b3;
        const q = p + inputs, r = q + inputs, s = r + inputs;
        for (let input = 0, k = at * inputs; input < inputs; input += 1, k += 4) {
          const t = x[p + input], u = x[q + input], v = x[r + input], w = x[s + input];
          const k0 = kernel[k], k1 = kernel[k + 1], k2 = kernel[k + 2], k3 = kernel[k + 3];
          a0 += t * k0; c0 += u * k0; d0 += v * k0; e0 += w * k0;
          a1 += t * k1; c1 += u * k1; d1 += v * k1; e1 += w * k1;
          a2 += t * k2; c2 += u * k2; d2 += v * k2; e2 += w * k2;
          a3 += t * k3; c3 += u * k3; d3 += v * k3; e3 += w * k3;
        }
        const second = to + outputs, third = second + outputs, last = third + outputs;
        y[to] = a0; y[to + 1] = a1; y[to + 2] = a2; y[to + 3] = a3;
        y[second] = c0; y[second + 1] = c1; y[second + 2] = c2; y[second + 3] = c3;
        y[third] = d0; y[third + 1] = d1; y[third + 2] = d2; y[third + 3] = d3;
        y[last] = e0; y[last + 1] = e1; y[last + 2] = e2; y[last + 3] = e3;
        p = s + inputs;
      }
    }
    return y;
  }

  // LayerNorm without scale and bias, which are part of the product after it.
  function normed(x, width) {
    const y = new Float64Array(x.length);
    for (let start = 0; start < x.length; start += width) {
      let sum = 0, squares = 0;
      for (let at = start; at < start + width; at += 1) sum += x[at];
      const mean = sum / width;
      for (let at = start; at < start + width; at += 1) {
        const off = x[at] - mean;
        squares += off * off;
      }
      const by = 1 / Math.sqrt(squares / width + EPSILON);
      for (let at = start; at < start + width; at += 1) y[at] = (x[at] - mean) * by;
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
    const size = width / heads, y = activations(rows, width), scores = new Float64Array(rows);
    const by = 1 / Math.sqrt(size), stride = 3 * width;
    for (let start = 0; start < width; start += size) {
      for (let query = 0; query < rows; query += 1) {
        const q = query * stride + start, to = query * width + start;
        let top = -Infinity, total = 0;
        for (let key = 0, k = width + start; key < rows; key += 1, k += stride) {
          let a = 0, b = 0, c = 0, d = 0;
          for (let at = 0; at < size; at += 4) {
            a += qkv[q + at] * qkv[k + at];
            b += qkv[q + at + 1] * qkv[k + at + 1];
            c += qkv[q + at + 2] * qkv[k + at + 2];
            d += qkv[q + at + 3] * qkv[k + at + 3];
          }
          scores[key] = (a + b + c + d) * by;
          if (scores[key] > top) top = scores[key];
        }
        for (let key = 0; key < rows; key += 1) {
          scores[key] = Math.exp(scores[key] - top);
          total += scores[key];
        }
        for (let at = 0; at < size; at += 4) {
          let a = 0, b = 0, c = 0, d = 0;
          for (let key = 0, v = 2 * width + start + at; key < rows; key += 1, v += stride) {
            const share = scores[key];
            a += share * qkv[v]; b += share * qkv[v + 1];
            c += share * qkv[v + 2]; d += share * qkv[v + 3];
          }
          const out = to + at;
          y[out] = a / total; y[out + 1] = b / total;
          y[out + 2] = c / total; y[out + 3] = d / total;
        }
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

  function add(x, y) {
    for (let at = 0; at < x.length; at += 1) x[at] += y[at];
  }

  function relu(x) {
    for (let at = 0; at < x.length; at += 1) if (x[at] < 0) x[at] = 0;
    return x;
  }

  function dot(x, start, y) {
    let sum = 0;
    for (let at = 0; at < y.length; at += 1) sum += x[start + at] * y[at];
    return sum;
  }

  // The mean over tokens, as activations of one token.
  function meanOf(x, rows, width) {
    const mean = activations(1, width);
    for (let row = 0; row < rows; row += 1) {
      for (let at = 0; at < width; at += 1) mean[at] += x[row * width + at] / rows;
    }
    return mean;
  }

  // The embedding tables times their projection: `columns[feature][value]` is a row. The
  // projection of joined rows is the sum of their projections.
  function projected(file, arrays) {
    const kernel = arrays["embed_project.kernel"], width = file.config.embed_dim;
    let start = 0;
    return FEATURES.map((feature) => {
      const table = arrays[`embed.${feature}.embedding`], n = file.cardinalities[feature];
      const size = table.length / n, first = start;
      start += size;
      return Array.from({ length: n }, (_, value) => {
        const row = new Float64Array(width);
        for (let input = 0; input < size; input += 1) {
          const weight = table[value * size + input];
          for (let at = 0; at < width; at += 1) {
            row[at] += weight * kernel[(first + input) * width + at];
          }
        }
        return row;
      });
    });
  }

  function embed(net, seen) {
    const { embed_dim: width } = net.config, x = activations(seen.length, width);
    seen.forEach(({ place, row }, token) => {
      const to = token * width, from = place * width;
      for (let at = 0; at < width; at += 1) x[to + at] = net.positions[from + at] + net.bias[at];
      row.forEach((value, feature) => {
        const column = net.columns[feature][value];
        for (let at = 0; at < width; at += 1) x[to + at] += column[at];
      });
    });
    return x;
  }

  // Evaluates the position for its mover.
  // Gives policy logits by slot (null for a played slot), the value, and belief shares by tile.
  function evaluate(net, game) {
    const { embed_dim: width, n_heads: heads } = net.config;
    const seen = tokens(game), rows = seen.length, x = embed(net, seen);
    let hidden = null;
    net.layers.forEach((layer, at) => {
      const attended = attention(linear(layer.qkv, normed(x, width)), rows, width, heads);
      add(x, linear(layer.attentionOut, attended));
      hidden = relu(linear(layer.ffIn, normed(x, width)));
      if (at < net.layers.length - 1) add(x, linear(layer.ffOut, hidden));
    });
    // The last product is left out for the single tokens. What is read of it is linear: the mean
    // of all tokens, and the score of a token.
    const { ffIn: { outputs: ffWidth }, ffOut } = net.layers[net.layers.length - 1];
    const pooled = meanOf(x, rows, width);
    add(pooled, linear(ffOut, meanOf(hidden, rows, ffWidth)));
    const { direct, ofHidden, bias } = net.score, policy = new Array(7).fill(null);
    seen.forEach(({ place }, token) => {
      if (place < 1 || place > 7) return;
      policy[place - 1] = dot(x, token * width, direct) + dot(hidden, token * ffWidth, ofHidden)
        + bias;
    });
    const value = Math.tanh(linear(net.valueOut, linear(net.valueHidden, pooled).map(gelu))[0]);
    let belief = null;
    if (net.beliefOut) {
      const logits = linear(net.beliefOut, linear(net.beliefHidden, pooled).map(gelu));
      belief = Array.from({ length: 28 }, (_, tile) =>
        softmax(Array.from(logits.subarray(3 * tile, 3 * tile + 3))));
    }
    return { policy, value, belief };
  }

  // Belief shares by tile, from those of `evaluate` and the exact ones of the hidden tiles: as
  // `network.corrected_beliefs`.
  function onMarginal(net, belief, hidden, shares) {
    if (net.config.belief_prior !== "marginal") return belief;
    const found = belief.slice();
    hidden.forEach((tile, at) => {
      const mixed = belief[tile].map((share, other) => share * Math.max(shares[at][other], 1e-9));
      const total = mixed.reduce((sum, each) => sum + each, 0);
      found[tile] = mixed.map((each) => each / total);
    });
    return found;
  }

  // The policy's score of a token: of its activations before the last product, and of the hidden
  // units that this product would read.
  function scoreOf(arrays, lastOut, ffWidth) {
    const direct = arrays["policy.kernel"], kernel = arrays[`${lastOut}.kernel`];
    const ofHidden = new Float64Array(ffWidth), width = direct.length;
    for (let unit = 0; unit * width < kernel.length; unit += 1) {
      ofHidden[unit] = dot(kernel, unit * width, direct);
    }
    const bias = arrays["policy.bias"][0] + dot(arrays[`${lastOut}.bias`], 0, direct);
    return { direct, ofHidden, bias };
  }

  // All that can be computed once is computed here.
  function load(file) {
    const { config, name, arrays } = read(file);
    const after = (norm, product_) => product(arrays, product_, arrays[`${norm}.scale`],
      arrays[`${norm}.bias`]);
    const at = (layer) => `layers.${String(layer).padStart(2, "0")}`;
    const layers = Array.from({ length: config.n_layers }, (_, layer) => ({
      qkv: after(`${at(layer)}.norm1`, `${at(layer)}.qkv`),
      attentionOut: product(arrays, `${at(layer)}.attention_out`),
      ffIn: after(`${at(layer)}.norm2`, `${at(layer)}.ff_in`),
      ffOut: product(arrays, `${at(layer)}.ff_out`),
    }));
    const last = config.n_layers - 1;
    return {
      config, name, layers, columns: projected(file, arrays),
      positions: arrays["position.embedding"], bias: arrays["embed_project.bias"],
      score: scoreOf(arrays, `${at(last)}.ff_out`, layers[last].ffIn.outputs),
      valueHidden: product(arrays, "value_hidden"), valueOut: product(arrays, "value_out"),
      beliefHidden: arrays["belief_out.bias"] ? product(arrays, "belief_hidden") : null,
      beliefOut: arrays["belief_out.bias"] ? product(arrays, "belief_out") : null,
    };
  }

  zebjax.network = { load, evaluate, onMarginal, softmax, bytes, toFloats, inflate };
})();
