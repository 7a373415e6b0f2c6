// What training on preferences minimises.
#pragma once

#include <memory>

#include "finetune/train/objective.h"
#include "finetune/train/preferences.h"

namespace finetune {

/// Of pairs, as TRL 1.16 has them. `scores` are log p - log p_ref of each answer, summed over its trained tokens (of
/// simpo log p alone), chosen and rejected in turn, `targets` its tokens. With d the difference of two scores, d' that
/// of their means over tokens, and s the label smoothing, [pairs] comes out:
///   dpo    -(1 - s) log sigmoid(beta d) - s log sigmoid(-beta d)
///   hinge  max(0, 1 - beta d)
///   ipo    (d' - 1 / (2 beta))^2
///   simpo  as dpo, of beta d' - gamma instead of beta d
at::Tensor pair_losses(const PreferenceOptions& options, const at::Tensor& scores, const at::Tensor& targets);

/// Of orpo, beside the negative log-likelihood: -beta log sigmoid(l) with l = log odds of the chosen answer - log odds
/// of the rejected one, log odds = p - log(1 - exp p), p the mean log-probability. `means` in turn; [pairs].
at::Tensor odds_ratio_losses(double beta, const at::Tensor& means);

/// Of kto: 1 - sigmoid(beta (r - z)) of a desirable answer, 1 - sigmoid(beta (z - r)) of another, times their weights;
/// r = log p - log p_ref, z = max(0, `divergence`), divergence the mean of r over answers to other prompts. [answers].
at::Tensor kto_losses(const PreferenceOptions& options, const at::Tensor& ratios, const at::Tensor& desirable,
                      double divergence);

/// The objective that the options name: of answers too.
std::unique_ptr<const Objective> objective_of(const PreferenceOptions& options);

}  // namespace finetune
