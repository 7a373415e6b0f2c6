// Ways to train that differ in what trains.
#pragma once

#include <functional>
#include <vector>

#include "tests/finetune/train_fixture.h"

struct Way {
  const char* name;
  std::function<void(TrainOptions&)> set;
};

inline std::vector<Way> ways() {
  return {
      {"patterns",
       [](TrainOptions& o) {
         o.lora.rank_pattern = {"down_proj=2"};
         o.lora.alpha_pattern = {"q_proj=3"};
         o.lora.dropout_pattern = {"v_proj=0.3"};
         o.lora.exclude_modules = {"k_proj"};
         o.lora.layers_to_transform = {"1"};
       }},
      {"dora", [](TrainOptions& o) { o.lora.dora = true, o.lora.dropout = 0.2; }},
      {"saved",
       [](TrainOptions& o) {
         o.lora.modules_to_save = {"embed_tokens", "norm", "down_proj"};
       }},
      {"tied", [](TrainOptions& o) { o.lora.modules_to_save = {"embed_tokens"}, o.lora.ensure_weight_tying = true; }},
      {"embedding",
       [](TrainOptions& o) {
         o.lora.targets = {"embed_tokens", "lm_head", "v_proj"}, o.lora.dropout = 0.2;
       }},
      {"tokens",
       [](TrainOptions& o) {
         o.lora.trainable_tokens = {"<|endoftext|>", "7"};
       }},
      {"new_tokens",
       [](TrainOptions& o) { o.start.new_tokens = {"say 1"}, o.start.new_special_tokens = {"<|call|>"}; }},
      {"new_tokens_full", [](TrainOptions& o) { o.start.method = "full", o.start.new_tokens = {"say 1"}; }},
      {"plus", [](TrainOptions& o) { o.lora.loraplus_lr_ratio = 16, o.optimizer.update.weight_decay = 0.1; }},
      {"pissa", [](TrainOptions& o) { o.lora.start = "pissa", o.lora.dropout = 0.1; }},
      {"olora", [](TrainOptions& o) { o.lora.start = "olora", o.lora.rslora = true; }},
      {"pissa_dora", [](TrainOptions& o) { o.lora.start = "pissa", o.lora.dora = true; }},
      {"noise", [](TrainOptions& o) { o.optimizer.neftune_noise_alpha = 5; }},
      {"full", [](TrainOptions& o) { o.start.method = "full", o.optimizer.update.weight_decay = 0.1; }},
  };
}
