// PiSSA and OLoRA: adapters that start with a part of the base, made plain.
#pragma once

#include <functional>

#include "lora/adapter/adapter.h"
#include "lora/model/model_files.h"

namespace lora {

/// The adapter with its modules named as `base` names them: a text model and the whole around it have the same.
Adapter with_names_of(const ModelFiles& base, Adapter adapter);

/// The adapter as a plain LoRA of `base`, its modules named as the base names them. PiSSA and OLoRA took scale * B0 A0
/// out of each weight before training, so their W' = W - scale * B0 A0 + scale * B A. B0 A0 follows from W alone (Meng
/// et al. 2024, arXiv 2404.02948: the part of the largest singular values; Buyukakyuz 2024, arXiv 2406.01775: the
/// projection on the first columns), so it is computed again, and every module gets twice the rank: A' = [A; A0], B' =
/// [B, -B0], as PEFT's own conversion does. Other adapters are given back as they are. `progress` is told the share
/// done; may be empty. Throws base::Error when the base is quantised or does not fit, or where the start is not unique.
Adapter plain_adapter(Adapter adapter, const ModelFiles& base, int threads,
                      const std::function<void(double)>& progress = {});

/// Puts A0 and B0 of that start into every module of a fresh adapter, and behind them, as a frozen part of twice the
/// rank, A0 and -B0: W + scale * (B A - B0 A0) is W before the first step, whatever form the base is kept in. Throws as
/// plain_adapter does.
void start_from_base(Adapter& adapter, const ModelFiles& base, Start start, int threads,
                     const std::function<void(double)>& progress = {});

}  // namespace lora
