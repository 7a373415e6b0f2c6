// Random numbers by where a token stands in its step. Tested by tests/finetune/draws_test.cc.
#include "finetune/adapt/draws.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <cmath>

#include "base/random.h"
#include "finetune/kernels/dropout.h"
#include "finetune/kernels/passing.h"

namespace finetune {
namespace {

constexpr std::int64_t kTile = 256;  // tokens

std::uint64_t key_of(std::uint64_t seed, std::int64_t index) {
  return base::mix64(seed ^ base::mix64(static_cast<std::uint64_t>(index) + 1));
}

// The device's own counter-based generator (Philox).
at::Generator generator_of(std::uint64_t key, at::Device device) {
  at::Generator generator = at::globalContext().defaultGenerator(device).clone();
  generator.set_current_seed(key);
  return generator;
}

// f(16 random bits) of every position. One hash gives four of a token's.
template <class F>
at::Tensor of_hashes(std::uint64_t key, const at::Tensor& places, std::int64_t width, F f) {
  at::Tensor result = passing_tensor({places.size(0), width}, at::kFloat);
  float* out = result.mutable_data_ptr<float>();
  const std::int64_t* place = places.const_data_ptr<std::int64_t>();
  const auto quads = static_cast<std::uint64_t>((width + 3) / 4);
  at::parallel_for(0, places.size(0), std::max<std::int64_t>(1, (1 << 16) / width), [&](auto begin, auto end) {
    for (std::int64_t t = begin; t < end; ++t) {
      std::uint64_t next{key + static_cast<std::uint64_t>(place[t]) * quads};
      for (std::int64_t j = t * width, last = j + width; j < last; ++next) {
        std::uint64_t bits = base::mix64(next);
        for (const std::int64_t some = std::min(last, j + 4); j < some; ++j, bits >>= 16) out[j] = f(bits & 0xFFFF);
      }
    }
  });
  return result;
}

}  // namespace

Draws Draws::of(const at::Tensor& rows) const {
  return is_on() ? Draws{seed, places.index_select(0, rows.to(at::kCPU))} : Draws{};
}

c10::IValue kept_draws(const Draws& draws) {
  return c10::ivalue::Tuple::create(static_cast<std::int64_t>(draws.seed), draws.places);
}

Draws draws_in(const c10::IValue& kept) {
  const auto& elements = kept.toTupleRef().elements();
  return {static_cast<std::uint64_t>(elements[0].toInt()), elements[1].toTensor()};
}

at::Tensor tiled_uniform_numbers(const Draws& draws, std::int64_t index, std::int64_t width,
                                 const at::TensorOptions& options) {
  const std::uint64_t key{key_of(draws.seed, index)};
  const std::int64_t tokens{draws.places.size(0)};
  const std::int64_t* place = draws.places.const_data_ptr<std::int64_t>();
  at::Tensor result = at::empty({tokens, width}, options.dtype(at::kFloat));
  for (std::int64_t begin = 0, end = 0; begin < tokens; begin = end) {
    const std::int64_t tile{place[begin] / kTile};
    bool is_run = true;
    for (; end < tokens && place[end] / kTile == tile; ++end) is_run &= place[end] - place[begin] == end - begin;
    const at::Generator generator = generator_of(base::mix64(key + static_cast<std::uint64_t>(tile)), options.device());
    const at::Tensor whole = at::empty({kTile, width}, result.options()).uniform_(0, 1, generator);
    const at::Tensor part = result.narrow(0, begin, end - begin);
    if (is_run) {  // a document's tokens: numbers of rows on their way to the device would wait for what runs there
      part.copy_(whole.narrow(0, place[begin] % kTile, end - begin));
    } else {
      const at::Tensor rows = draws.places.narrow(0, begin, end - begin).remainder(kTile);
      part.copy_(whole.index_select(0, rows.to(options.device())));
    }
  }
  return result;
}

namespace {

dropout::Mask mask_of(const Draws& draws, std::int64_t index, double p) {
  return {key_of(draws.seed, index), static_cast<std::uint32_t>(std::lround(p * 65536)),
          static_cast<float>(1 / (1 - p))};
}

}  // namespace

at::Tensor dropout_mask(const Draws& draws, std::int64_t index, double p, std::int64_t width,
                        const at::TensorOptions& options) {
  if (!options.device().is_cpu())
    return tiled_uniform_numbers(draws, index, width, options).ge(p).to(options.dtype()).mul_(1 / (1 - p));
  const dropout::Mask mask = mask_of(draws, index, p);
  return of_hashes(mask.key, draws.places, width,
                   [=](std::uint64_t bits) { return bits < mask.threshold ? 0 : mask.keep; })
      .to(options.dtype());
}

at::Tensor dropped(const Draws& draws, std::int64_t index, double p, const at::Tensor& x) {
  at::Tensor y = passing_tensor(x.sizes(), x.options());
  if (!dropout::handles(x)) return at::mul_out(y, x, dropout_mask(draws, index, p, x.size(1), x.options()));
  dropout::apply(y, x, draws.places, mask_of(draws, index, p), false);
  return y;
}

void add_dropped(at::Tensor& y, const Draws& draws, std::int64_t index, double p, const at::Tensor& x) {
  if (dropout::handles(x) && dropout::handles(y))
    dropout::apply(y, x, draws.places, mask_of(draws, index, p), true);
  else
    y.addcmul_(x, dropout_mask(draws, index, p, x.size(1), x.options()));
}

at::Tensor uniform_numbers(const Draws& draws, std::int64_t index, std::int64_t width,
                           const at::TensorOptions& options) {
  if (!options.device().is_cpu()) return tiled_uniform_numbers(draws, index, width, options);
  return of_hashes(key_of(draws.seed, index), draws.places, width,
                   [](std::uint64_t bits) { return (static_cast<float>(bits) + 0.5F) / 65536; });
}

}  // namespace finetune
