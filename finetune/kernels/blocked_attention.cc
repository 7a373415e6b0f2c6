// Causal attention in blocks, after FlashAttention-2 (arXiv:2307.08691). All tiles lie with a row a key and a column a
// query of one head, so that maxima, sums and gradients are vector operations over columns, and a key's visible
// columns are one range. Tested by tests/finetune/model_test.cc.
#include "finetune/kernels/blocked_attention.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>

#include "finetune/kernels/attention_columns.h"
#include "finetune/kernels/passing.h"
#include "finetune/kernels/tiles.h"
#include "finetune/kernels/widened.h"

namespace finetune::blocked {
namespace {

constexpr std::int64_t kKeys = 128;       // of a tile
constexpr std::int64_t kColumns = 256;    // of a tile, about
constexpr std::int64_t kKeyStep = 32;     // a document's last tiles are rounded up to these, since oneDNN
constexpr std::int64_t kQueryStep = 16;   // compiles a product for every shape that it meets
constexpr std::int64_t kSharedWork = 16;  // parts that the keys' gradients are summed in, where there are few heads

// c [m, n] (+)= a [m, k] b.
template <class T>
void product(std::int64_t m, std::int64_t n, std::int64_t k, const T* a, std::int64_t stride, const T* b, float* c,
             bool adds) {
  tile_product(m, n, k, a, stride, b, c, n, adds);
}

struct Sizes {
  std::int64_t tokens, heads, kv_heads, head_dim, group, window;
  std::int64_t queries;  // of a tile: all heads of a key head each
  float scale;
  std::int64_t row() const { return (heads + 2 * kv_heads) * head_dim; }  // of the tensor of heads
};

Sizes sizes_of(const at::Tensor& heads, const AttentionShape& shape) {
  const std::int64_t group{shape.heads / shape.kv_heads};
  const double scale{scale_of(shape)};
  return {heads.size(0),
          shape.heads,
          shape.kv_heads,
          shape.head_dim,
          group,
          shape.window == 0 ? heads.size(0) : shape.window,
          std::clamp<std::int64_t>(kColumns / group / kQueryStep * kQueryStep, kQueryStep, 64),
          static_cast<float>(scale)};
}

struct Document {
  std::int64_t first, tokens, padded;  // `padded`: first of its keys where documents are rounded up
  std::int64_t blocks(const Sizes& sizes) const { return (tokens + sizes.queries - 1) / sizes.queries; }
};

// A key head of a document, and which of its query blocks: part, part + parts, ...
struct Task {
  Document document;
  std::int64_t key_head, part, parts;
};

std::vector<Document> documents_of(const std::vector<std::int64_t>& lengths) {
  std::vector<Document> documents;
  std::int64_t first = 0, padded = 0;
  for (const std::int64_t length : lengths) {
    documents.push_back({first, length, padded});
    first += length;
    padded += rounded_up(length, kKeys);
  }
  return documents;
}

// The keys and values of all documents, a key head behind the other, documents rounded up with zeros; and of the
// keys or of the values every kKeys transposed: [kv_heads, padded / kKeys, head_dim, kKeys].
template <class T>
struct Cache {
  at::Tensor memory;
  std::int64_t padded, head_dim;
  T *keys, *values, *transposed;
  std::int64_t at(std::int64_t head, std::int64_t key) const { return (head * padded + key) * head_dim; }

  Cache(const T* heads, const Sizes& sizes, const std::vector<Document>& documents, bool transposes_keys)
      : padded(documents.empty() ? 0 : documents.back().padded + rounded_up(documents.back().tokens, kKeys)),
        head_dim(sizes.head_dim) {
    const std::int64_t count{sizes.kv_heads * padded * head_dim};
    memory = passing_tensor({3 * count * static_cast<std::int64_t>(sizeof(T))}, at::kByte);
    keys = reinterpret_cast<T*>(memory.mutable_data_ptr<std::uint8_t>());
    values = keys + count;
    transposed = values + count;
    const auto tasks = static_cast<std::int64_t>(documents.size()) * sizes.kv_heads;
    at::parallel_for(0, tasks, 1, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        const Document& document = documents[static_cast<std::size_t>(i / sizes.kv_heads)];
        const std::int64_t head{i % sizes.kv_heads}, place{at(head, document.padded)};
        const std::int64_t all{rounded_up(document.tokens, kKeys)};
        copy(heads + document.first * sizes.row() + (sizes.heads + head) * head_dim, document.tokens, sizes.row(), all,
             keys + place);
        copy(heads + document.first * sizes.row() + (sizes.heads + sizes.kv_heads + head) * head_dim, document.tokens,
             sizes.row(), all, values + place);
        const T* source = (transposes_keys ? keys : values) + place;
        for (std::int64_t key = 0; key < all; key += kKeys)
          transpose(source + key * head_dim, head_dim, kKeys, head_dim, transposed + place + key * head_dim, kKeys);
      }
    });
  }

  void copy(const T* from, std::int64_t tokens, std::int64_t stride, std::int64_t all, T* to) const {
    for (std::int64_t i = 0; i < tokens; ++i)
      std::copy(from + i * stride, from + i * stride + head_dim, to + i * head_dim);
    std::fill(to + tokens * head_dim, to + all * head_dim, T{});
  }
};

// Some queries of a document in all heads of a key head: a column each, query by query, rounded up with zeros.
struct Queries {
  std::int64_t first, count;     // of the document
  std::int64_t columns, padded;  // count * group, and that rounded up
  std::int64_t first_key, keys;  // tiles from here on, up to here

  Queries(const Sizes& sizes, const Document& document, std::int64_t block)
      : first(block * sizes.queries), count(std::min(sizes.queries, document.tokens - first)) {
    columns = count * sizes.group;
    padded = rounded_up(count, kQueryStep) * sizes.group;
    first_key = std::max<std::int64_t>(0, first - sizes.window + 1) / kKeys * kKeys;
    keys = first + count;
  }
};

// The columns that see a key.
struct Columns {
  std::int64_t begin, end;
};
Columns seeing(const Sizes& sizes, const Queries& queries, std::int64_t key) {
  const std::int64_t begin{(key - queries.first) * sizes.group}, end{begin + sizes.window * sizes.group};
  return {std::clamp<std::int64_t>(begin, 0, queries.columns), std::clamp<std::int64_t>(end, 0, queries.columns)};
}

// x [T, width] of which a token's `group` heads lie side by side from `offset` on -> [columns, head_dim], zeros behind.
template <class T>
void gather(const T* x, std::int64_t width, const Sizes& sizes, const Document& document, const Queries& queries,
            std::int64_t key_head, Lines<T>& out) {
  const std::int64_t length{sizes.group * sizes.head_dim};
  out.assign(static_cast<std::size_t>(queries.padded * sizes.head_dim), T{});
  for (std::int64_t i = 0; i < queries.count; ++i) {
    const T* from = x + (document.first + queries.first + i) * width + key_head * length;
    std::copy(from, from + length, out.data() + i * length);
  }
}

// x [head_dim, columns] -> where gather() reads.
template <class T>
void scatter(const Lines<float>& x, std::int64_t width, const Sizes& sizes, const Document& document,
             const Queries& queries, std::int64_t key_head, Lines<float>& rows, T* out) {
  const std::int64_t length{sizes.group * sizes.head_dim};
  rows.resize(static_cast<std::size_t>(queries.padded * sizes.head_dim));
  transpose(x.data(), queries.padded, sizes.head_dim, queries.padded, rows.data(), sizes.head_dim);
  for (std::int64_t i = 0; i < queries.count; ++i)
    narrow(rows.data() + i * length, length, out + (document.first + queries.first + i) * width + key_head * length);
}

// ---- forward ------------------------------------------------------------------------------------------------------

// Memory of a thread, which stays its own: given back and taken between tensors that live on, it would scatter them.
template <class T>
struct Scratch {
  Lines<T> q, o, d_o;
  Lines<float> tile, d_tile, mixed, maxima, before, sums, log_sums, dots, rows;
  Operand<T> q_columns, q_rows, d_columns, d_rows, weights, products;
};
template <class T>
Scratch<T>& scratch() {
  static thread_local Scratch<T> own;
  return own;
}

template <class T>
struct ForwardTask {
  const Sizes& sizes;
  const T* heads;
  const Cache<T>& cache;
  T* out;
  float* log_sums;
  Scratch<T>& my = scratch<T>();

  void operator()(const Task& task) const {
    const Queries queries(sizes, task.document, task.part);
    const std::int64_t n{queries.padded}, d{sizes.head_dim}, place{cache.at(task.key_head, task.document.padded)};
    gather(heads, sizes.row(), sizes, task.document, queries, task.key_head, my.q);
    const T* right = my.q_columns.right_of_transposed(my.q.data(), n, d);
    my.tile.resize(static_cast<std::size_t>(kKeys * n));
    my.mixed.resize(static_cast<std::size_t>(d * n));
    my.maxima.assign(static_cast<std::size_t>(n), -1e30F);
    my.sums.assign(static_cast<std::size_t>(n), 0);
    for (std::int64_t key = queries.first_key; key < queries.keys; key += kKeys) {
      const std::int64_t count{rounded_up(std::min(kKeys, queries.keys - key), kKeyStep)};
      product(count, n, d, cache.keys + place + key * d, d, right, my.tile.data(), false);
      my.before = my.maxima;
      for (std::int64_t i = 0; i < count; ++i) {
        const auto [begin, end] = seeing(sizes, queries, key + i);
        raise_maxima(my.tile.data() + i * n + begin, end - begin, sizes.scale, my.maxima.data() + begin);
      }
      if (key > queries.first_key) {
        to_factors(my.before.data(), my.maxima.data(), n, my.sums.data());
        for (std::int64_t i = 0; i < d; ++i) multiply(my.mixed.data() + i * n, my.before.data(), n);
      }
      for (std::int64_t i = 0; i < count; ++i) {
        const auto [begin, end] = seeing(sizes, queries, key + i);
        float* row = my.tile.data() + i * n;
        std::fill(row, row + begin, 0.0F);
        to_weights(row + begin, end - begin, sizes.scale, my.maxima.data() + begin, my.sums.data() + begin);
        std::fill(row + end, row + n, 0.0F);
      }
      product(d, n, count, cache.transposed + place + key * d, kKeys, my.weights.right(my.tile.data(), count, n),
              my.mixed.data(), key > queries.first_key);
    }
    for (std::int64_t i = 0; i < queries.columns; ++i) {
      const auto at = static_cast<std::size_t>(i);
      const std::int64_t token{task.document.first + queries.first + i / sizes.group};
      log_sums[token * sizes.heads + task.key_head * sizes.group + i % sizes.group] =
          my.maxima[at] + std::log(my.sums[at]);
      my.sums[at] = 1 / my.sums[at];
    }
    for (std::int64_t i = 0; i < d; ++i) multiply(my.mixed.data() + i * n, my.sums.data(), n);
    scatter(my.mixed, sizes.heads * d, sizes, task.document, queries, task.key_head, my.rows, out);
  }
};

template <class T>
void forward_of(const at::Tensor& heads, const Sizes& sizes, const std::vector<Document>& documents, Result& result) {
  const T* data = static_cast<const T*>(heads.const_data_ptr());
  const Cache<T> cache(data, sizes, documents, false);
  std::vector<Task> tasks;
  for (const Document& document : documents)
    for (std::int64_t block = document.blocks(sizes); block-- > 0;)  // the longest first
      for (std::int64_t head = 0; head < sizes.kv_heads; ++head) tasks.push_back({document, head, block, 1});
  take_turns(static_cast<std::int64_t>(tasks.size()), [&] {
    return [&, work = ForwardTask<T>{sizes, data, cache, static_cast<T*>(result.out.mutable_data_ptr()),
                                     result.log_sums.mutable_data_ptr<float>()}](std::int64_t i) mutable {
      work(tasks[static_cast<std::size_t>(i)]);
    };
  });
}

// ---- backward -----------------------------------------------------------------------------------------------------

template <class T>
struct BackwardTask {
  const Sizes& sizes;
  const T *heads, *out, *dout;
  const float* log_sums;
  const Cache<T>& cache;
  T* d_heads;
  Scratch<T>& my = scratch<T>();

  // Adds to dk and dv [padded tokens of the document, head_dim], and writes the gradient of its queries.
  void operator()(const Task& task, float* dk, float* dv) {
    for (std::int64_t block = task.part; block < task.document.blocks(sizes); block += task.parts)
      add_block(task, Queries(sizes, task.document, block), dk, dv);
  }

  void add_block(const Task& task, const Queries& queries, float* dk, float* dv) {
    const std::int64_t n{queries.padded}, d{sizes.head_dim}, place{cache.at(task.key_head, task.document.padded)};
    gather_all(task, queries);
    const T* q_right = my.q_columns.right_of_transposed(my.q.data(), n, d);
    const T* d_right = my.d_columns.right_of_transposed(my.d_o.data(), n, d);
    const T *q_summed = my.q_rows.right(my.q.data(), n, d), *d_summed = my.d_rows.right(my.d_o.data(), n, d);
    my.tile.resize(static_cast<std::size_t>(kKeys * n));
    my.d_tile.resize(static_cast<std::size_t>(kKeys * n));
    my.mixed.resize(static_cast<std::size_t>(d * n));
    for (std::int64_t key = queries.first_key; key < queries.keys; key += kKeys) {
      const std::int64_t count{rounded_up(std::min(kKeys, queries.keys - key), kKeyStep)};
      product(count, n, d, cache.keys + place + key * d, d, q_right, my.tile.data(), false);
      product(count, n, d, cache.values + place + key * d, d, d_right, my.d_tile.data(), false);
      for (std::int64_t i = 0; i < count; ++i) {
        const auto [begin, end] = seeing(sizes, queries, key + i);
        float *row = my.tile.data() + i * n, *d_row = my.d_tile.data() + i * n;
        to_gradients(row + begin, d_row + begin, end - begin, sizes.scale, my.log_sums.data() + begin,
                     my.dots.data() + begin);
        for (float* x : {row, d_row}) {
          std::fill(x, x + begin, 0.0F);
          std::fill(x + end, x + n, 0.0F);
        }
      }
      product(count, d, n, my.weights.left(my.tile.data(), count * n), n, d_summed, dv + key * d, true);
      product(count, d, n, my.products.left(my.d_tile.data(), count * n), n, q_summed, dk + key * d, true);
      product(d, n, count, cache.transposed + place + key * d, kKeys, my.products.right(my.d_tile.data(), count, n),
              my.mixed.data(), key > queries.first_key);
    }
    scatter(my.mixed, sizes.row(), sizes, task.document, queries, task.key_head, my.rows, d_heads);
  }

  void gather_all(const Task& task, const Queries& queries) {
    const std::int64_t d{sizes.head_dim}, width{sizes.heads * d};
    gather(heads, sizes.row(), sizes, task.document, queries, task.key_head, my.q);
    gather(out, width, sizes, task.document, queries, task.key_head, my.o);
    gather(dout, width, sizes, task.document, queries, task.key_head, my.d_o);
    my.log_sums.resize(static_cast<std::size_t>(queries.columns));
    my.dots.resize(static_cast<std::size_t>(queries.columns));
    for (std::int64_t i = 0; i < queries.columns; ++i) {
      const std::int64_t token{task.document.first + queries.first + i / sizes.group};
      my.log_sums[static_cast<std::size_t>(i)] =
          log_sums[token * sizes.heads + task.key_head * sizes.group + i % sizes.group];
      my.dots[static_cast<std::size_t>(i)] = dot(my.o.data() + i * d, my.d_o.data() + i * d, d);
    }
  }
};

// dk and dv of a document's key head lie in as many parts as its tasks were cut into.
struct KeyGradients {
  Document document;
  std::int64_t key_head, parts, size;  // size: of dk in a part
  at::Tensor memory;                   // [parts, 2, size] float32
  float* part(std::int64_t i) const { return memory.data_ptr<float>() + i * 2 * size; }
};

// Sums the parts, in order, and writes them to their heads.
template <class T>
void write_sums(const KeyGradients& gradients, const Sizes& sizes, T* d_heads) {
  const std::int64_t d{sizes.head_dim};
  for (std::int64_t i = 1; i < gradients.parts; ++i) add(gradients.part(0), gradients.part(i), 2 * gradients.size);
  for (std::int64_t token = 0; token < gradients.document.tokens; ++token) {
    T* row = d_heads + (gradients.document.first + token) * sizes.row() + (sizes.heads + gradients.key_head) * d;
    narrow(gradients.part(0) + token * d, d, row);
    narrow(gradients.part(0) + gradients.size + token * d, d, row + sizes.kv_heads * d);
  }
}

template <class T>
void backward_of(const at::Tensor& dout, const at::Tensor& heads, const Result& result, const Sizes& sizes,
                 const std::vector<Document>& documents, at::Tensor& d_heads) {
  const auto data = [](const at::Tensor& x) { return static_cast<const T*>(x.const_data_ptr()); };
  const Cache<T> cache(data(heads), sizes, documents, true);
  T* target = static_cast<T*>(d_heads.mutable_data_ptr());
  const std::int64_t pairs{static_cast<std::int64_t>(documents.size()) * sizes.kv_heads};
  std::vector<KeyGradients> gradients;
  std::vector<std::pair<Task, const KeyGradients*>> tasks;
  gradients.reserve(static_cast<std::size_t>(pairs));
  for (const Document& document : documents)
    for (std::int64_t head = 0; head < sizes.kv_heads; ++head) {
      const std::int64_t parts{std::min(document.blocks(sizes), (kSharedWork + pairs - 1) / pairs)};
      const std::int64_t size{rounded_up(document.tokens, kKeys) * sizes.head_dim};
      gradients.push_back({document, head, parts, size, at::zeros({parts, 2, size}, at::kFloat)});
      for (std::int64_t part = 0; part < parts; ++part)
        tasks.push_back({{document, head, part, parts}, &gradients.back()});
    }
  std::ranges::stable_sort(tasks, std::greater(), [](const auto& task) {
    return task.first.document.tokens * task.first.document.tokens / task.first.parts;
  });
  take_turns(static_cast<std::int64_t>(tasks.size()), [&] {
    return [&, work = BackwardTask<T>{sizes, data(heads), data(result.out), data(dout),
                                      result.log_sums.const_data_ptr<float>(), cache, target}](std::int64_t i) mutable {
      const auto& [task, sums] = tasks[static_cast<std::size_t>(i)];
      work(task, sums->part(task.part), sums->part(task.part) + sums->size);
    };
  });
  at::parallel_for(0, pairs, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) write_sums(gradients[static_cast<std::size_t>(i)], sizes, target);
  });
}

}  // namespace

bool handles(const AttentionShape& shape) {
  return shape.softcap == 0 && shape.slopes.empty() && shape.head_dim % 2 == 0;
}

bool handles(const at::Tensor& heads, const AttentionShape& shape) {
  if (!heads.is_cpu() || !handles(shape)) return false;
  return heads.scalar_type() == at::kFloat || heads.scalar_type() == at::kBFloat16;
}

Result forward(const at::Tensor& heads, const AttentionShape& shape, const std::vector<std::int64_t>& lengths) {
  TORCH_CHECK(heads.is_contiguous(), "blocked attention needs contiguous heads");
  const Sizes sizes = sizes_of(heads, shape);
  Result result{at::empty({sizes.tokens, sizes.heads * sizes.head_dim}, heads.options()),
                at::empty({sizes.tokens, sizes.heads}, heads.options().dtype(at::kFloat))};
  if (is_widened(heads)) {
    const Result wide = forward(widened(heads), shape, lengths);
    return {result.out.copy_(wide.out), wide.log_sums};
  }
  const std::vector<Document> documents = documents_of(lengths);
  heads.scalar_type() == at::kFloat ? forward_of<float>(heads, sizes, documents, result)
                                    : forward_of<Bfloat16>(heads, sizes, documents, result);
  return result;
}

at::Tensor backward(const at::Tensor& dout, const at::Tensor& heads, const Result& result, const AttentionShape& shape,
                    const std::vector<std::int64_t>& lengths) {
  TORCH_CHECK(heads.is_contiguous() && dout.is_contiguous(), "blocked attention needs contiguous tensors");
  const Sizes sizes = sizes_of(heads, shape);
  const std::vector<Document> documents = documents_of(lengths);
  at::Tensor d_heads = at::empty_like(heads);
  if (is_widened(heads))
    return d_heads.copy_(
        backward(widened(dout), widened(heads), {widened(result.out), result.log_sums}, shape, lengths));
  heads.scalar_type() == at::kFloat ? backward_of<float>(dout, heads, result, sizes, documents, d_heads)
                                    : backward_of<Bfloat16>(dout, heads, result, sizes, documents, d_heads);
  return d_heads;
}

}  // namespace finetune::blocked
