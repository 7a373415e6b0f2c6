"""Writes tests/golden/finetune/preferences.json: losses of pairs and their gradients by TRL's own DPOTrainer, of
given log-probabilities. Needs trl: python scripts/oracle/preferences.py"""
import json, pathlib, types
from unittest.mock import MagicMock
import torch, trl
from trl import DPOTrainer

cases = []
torch.manual_seed(3)
for objective, loss_type in (("dpo", "sigmoid"), ("ipo", "ipo"), ("hinge", "hinge")):
    for beta in (0.1, 0.5):
        pairs, length = 4, 9
        targets = torch.randint(1, length, (2 * pairs,))
        mask = (torch.arange(length + 1)[None] > length - targets[:, None]).long()
        logs = (-3 * torch.rand(2 * pairs, length) * mask[:, 1:]).double().requires_grad_()
        reference = (-3 * torch.rand(2 * pairs, length) * mask[:, 1:]).double().sum(1)
        self = MagicMock()
        self.beta, self.loss_types, self.loss_weights = beta, [loss_type], [1.0]
        self.ld_alpha, self.f_divergence_type, self.label_smoothing = None, "reverse_kl", 0.0
        self.precompute_ref_logps, self.use_weighting, self.aux_loss_enabled = True, False, False
        self.accelerator.device = "cpu"
        self.accelerator.gather = self.accelerator.gather_for_metrics = lambda x: x
        self.model.training = True
        model = MagicMock(return_value=types.SimpleNamespace(
            log_probs=logs, entropy=torch.zeros_like(logs), loss=None, aux_loss=None,
            logits=torch.zeros(2 * pairs, length + 1, 3), mean_logits=torch.zeros_like(logs),
            is_top1=torch.zeros_like(logs).bool()))
        model = MagicMock(side_effect=model)
        inputs = {"input_ids": torch.zeros(2 * pairs, length + 1).long(), "completion_mask": mask,
                  "attention_mask": torch.ones_like(mask),
                  "ref_chosen_logps": reference[:pairs], "ref_rejected_logps": reference[pairs:]}
        loss = DPOTrainer._compute_loss(self, model, inputs, False)
        loss.backward()
        # Chosen and rejected in turn; every token of an answer has the answer's gradient.
        turn = lambda x: torch.stack([x[:pairs], x[pairs:]], 1).flatten().tolist()
        answer_gradient = (logs.grad * mask[:, 1:]).sum(1) / mask[:, 1:].sum(1)
        cases.append({"objective": objective, "beta": beta, "targets": turn(mask[:, 1:].sum(1).double()),
                      "ratios": turn((logs.sum(1) - reference).detach()), "loss": loss.item(),
                      "gradient": turn(answer_gradient)})
out = pathlib.Path(__file__).parents[2] / "tests/golden/finetune/preferences.json"
out.write_text(json.dumps({"trl": trl.__version__, "torch": torch.__version__, "cases": cases}, indent=1) + "\n")
