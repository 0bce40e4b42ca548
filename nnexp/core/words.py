"""What people mean by a word: their words from PyTorch, Keras, scikit-learn, Lightning and Hydra, and misspelt ones."""

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from difflib import SequenceMatcher, get_close_matches
from functools import cache
from math import isfinite

OTHER_WORDS = """
architecture: model arch network net nn backbone module layers_config
dataset: data datasets ds data_set dataloader
experiment: config preset recipe
initializer: init initialiser initialization initialisation weight_init kernel_initializer weights_initializer
initializer: init_method
loss: criterion loss_fn loss_function objective cost cost_function
optimizer: optim opt optimiser solver algorithm
schedule: scheduler lr_schedule lr_scheduler learning_rate_schedule annealing lr_policy sched
trainer: training train fit
tracking: logger mlflow tracker logging wandb tensorboard log
mlp: fully_connected dense feedforward ffn fc fnn perceptron multilayer_perceptron sequential
logistic: logistic_regression linear softmax_regression logreg
mnist1d: mnist
digits: mnist digit optdigits
breast_cancer: cancer wdbc
diabetes: boston housing regression california
spiral: spirals two_spirals
sine: sin sinus
csv: table file pandas dataframe tabular excel parquet tsv
sgd: gd gradient_descent vanilla stochastic_gradient_descent
momentum: sgd_momentum heavy_ball sgdm momentum_sgd mom nesterov_momentum
nesterov: nag sgd_nesterov
adam: adamax
lion: sign_sgd
mean_squared_error: mse l2 squared_error rmse quadratic mean_square
mean_absolute_error: mae l1 absolute_error
huber: smooth_l1
binary_cross_entropy: bce bce_with_logits log_loss sigmoid_cross_entropy binary cross_entropy logistic logloss hinge
sparse_categorical_cross_entropy: cross_entropy ce nll xent softmax sparse softmax_cross_entropy categorical
sparse_categorical_cross_entropy: negative_log_likelihood
categorical_cross_entropy: soft_cross_entropy categorical one_hot
kullback_leibler: kl kld kl_div kl_divergence distillation
triplet: triplet_margin
contrastive: cosine_embedding siamese
identity: linear none null id false
silu: swish hardswish mish
sigmoid: logistic logsig sig expit
leaky_relu: lrelu leaky prelu
relu: rectifier rectified_linear relu6
tanh: hyperbolic_tangent
softmax: log_softmax
glorot_uniform: xavier xavier_uniform glorot
glorot_normal: xavier xavier_normal glorot
he_normal: kaiming he kaiming_normal msra
he_uniform: kaiming_uniform
lecun_normal: lecun
normal: gaussian random randn random_normal
uniform: random_uniform rand
he_truncated: truncated_normal trunc_normal truncated
constant: ones none null const fixed false
zeros: zero
cosine: cosine_annealing cosine_decay cos cosineannealinglr
cosine_restarts: cosine_annealing_warm_restarts sgdr warm_restarts cosine_decay_restarts
plateau: reduce_lr_on_plateau reduce_on_plateau
multi_step: piecewise piecewise_constant
exponential: exp exponential_decay
polynomial: linear linear_decay poly polynomial_decay
one_cycle: cyclic
step: step_decay
inverse_time: inverse inverse_time_decay time_based inverse_sqrt invscaling
none: null off false no disabled nothing
mlflow: wandb tensorboard true default
learning_rate: lr eta eta0 learn_rate base_lr learning_rate_init rate alpha step_size peak_lr
epochs: epoch max_iter nb_epoch num_train_epochs iterations_max total_epochs
iterations: steps iters niter max_iter max_steps num_steps total_steps
batch_size: batch bs minibatch minibatch_size train_batch_size batches per_device_train_batch_size
hidden: hidden_layer_sizes hidden_layers hidden_sizes hidden_size hidden_dim hidden_dims hidden_units layers
hidden: layer_sizes units neurons nodes sizes n_hidden
width: hidden_width n_units hidden_size hidden_dim
depth: num_layers n_layers num_hidden_layers nlayers layers
dropout: drop_rate dropout_prob dropout_p drop_prob drop keep_prob p
activation: act nonlinearity activation_fn activation_function act_fn act_layer
normalization: batch_norm batch_normalization layer_norm norm norm_layer bn normalisation use_bn batchnorm
output: output_activation final_activation last_activation out_activation
outputs: output_size output_dim n_classes num_classes out_features n_outputs embedding_dim
regularization: regularizer regularisation kernel_regularizer penalty reg
l2: l2_reg l2_penalty ridge alpha lambda l2_regularization reg_lambda l2_lambda
l1: l1_reg l1_penalty lasso l1_regularization l1_lambda
weight_decay: wd decay weightdecay weight_decay_rate
clip_norm: clip grad_clip gradient_clipping clip_grad_norm max_grad_norm gradient_clip_val grad_clip_norm max_norm
clip_norm: clipping gradient_clip global_clipnorm
clip_value: clip_grad_value grad_clip_value
early_stopping: early_stop earlystop es stop_early callbacks
patience: n_iter_no_change early_stopping_patience
min_delta: tol tolerance delta early_stopping_delta
restore: restore_best_weights restore_best keep_best load_best_model_at_end save_best
metric: monitor
beta1: b1 betas beta_1 beta adam_beta1
beta2: b2 betas beta_2 adam_beta2
epsilon: eps adam_epsilon
rho: alpha decay_rate smoothing
seed: random_state random_seed rng manual_seed rng_seed seeds
dtype: precision floatx float_type data_type
test_size: test_split test_fraction test_ratio test_share holdout split train_size train_split test train_test_split
test_size: train_fraction
validation_size: val_size val_split validation_split validation_fraction val_fraction val_ratio val validation
validation_size: dev_size valid_size valid_pct
split_seed: split_random_state data_seed
sampling: shuffle sampler drop_last replacement
standardize: normalize scale scaler standard_scaler standardise zscore standardization scaling normalise preprocess
standardize_targets: scale_targets normalize_targets scale_y
label_noise: noise noisy_labels flip_y
subsample: fraction max_samples n_train train_examples
points: n_samples samples num_samples size n n_points
path: file filename file_name filepath csv csv_path data_path data_file source data_dir train_path root url
target: label target_column label_column targets y y_col response outcome class_column labels target_col
kind: task type problem_type mode problem
categorical: categories categorical_features cat_features one_hot categorical_columns cat_cols nominal
ignore: drop drop_columns exclude columns_to_drop skip_columns index_col usecols
separator: sep delimiter delim field_separator
missing: impute imputer imputation nan fillna dropna strategy handle_missing na
missing_values: na_values nan_values
skip_rows: skip_header skip
class_weights: class_weight weights pos_weight balanced weight
label_smoothing: smoothing
margin: alpha
verbose: v verbosity quiet silent log_level progress progress_bar debug
figures: plots plot plotting figure show_plots draw
output_dir: output out out_dir save_dir log_dir run_dir default_root_dir save_path results_dir outdir logdir dir
output_dir: results folder checkpoint_dir save_to
resume: resume_from ckpt checkpoint from_checkpoint resume_from_checkpoint ckpt_path load continue restart pretrained
checkpoint_every: save_every save_steps checkpoint_interval save_freq save_interval
evaluate_every: eval_every eval_interval validate_every val_check_interval check_val_every_n_epoch eval_steps
evaluate_every: log_every log_interval validation_freq log_every_n_steps eval_freq print_every
metrics: metric scoring score eval_metrics
max_seconds: timeout time_limit max_time time_budget time budget max_runtime
snapshots: save_at snapshot save_epochs
warmup: warmup_steps warmup_epochs n_warmup num_warmup_steps warm_up warmup_ratio
every: step_size period interval step decay_steps
gamma: factor decay_rate lr_decay decay_factor drop_rate
minimum: eta_min min_lr end_learning_rate lr_min final_lr
period: t_0 t_max first_decay_steps
stretch: t_mult t_mul
milestones: boundaries
rise: pct_start
start: div_factor
end: final_div_factor
scale: std stddev gain init_scale init_std sigma
bias: bias_initializer bias_init use_bias biases
uri: url tracking_uri host server address store
project: experiment_name exp_name
repeats: n_seeds num_seeds repeat runs n_repeats seeds n_runs
draws: n_trials trials num_samples n_iter max_trials
plan: dry_run dryrun preview
over: params grid param_grid search_space space sweep_params
halving: successive_halving hyperband asha pruner
jobs: n_jobs n_workers num_workers workers processes parallel njobs cpus cores n_processes
question: note description notes comment title
temperature: t temp
shuffled: random shuffle true yes
order: sequential ordered false no none
replacement: bootstrap with_replacement
full: all none null max whole -1 inf
batch: batch_norm batch_normalization bn batchnorm1d
layer: layer_norm layer_normalization ln
null: none false no off
true: yes on 1 y enable enabled
false: no off 0 n none never disable disabled
f1: f1_score fscore
accuracy: acc categorical_accuracy accuracy_score binary_accuracy
roc_auc: auc auroc roc
r2: r2_score r_squared rsquared
float64: float double fp64 f64
float32: single half fp32 f32 float16 fp16 bfloat16 bf16 mixed 32 16
most_frequent: mode zero constant
classification: classifier binary multiclass class categorical
regression: regressor numeric number continuous linear
optuna: bayes bayesian tpe bayesian_optimization hyperopt skopt
random: grid uniform
sobol: quasi_random qmc halton latin
logspace: geomspace log log_space
range: arange xrange
integers: randint int_uniform quniform
loguniform: log_uniform reciprocal
linspace: lin_space linear
activate: activation relu sigmoid tanh
dense: linear fully_connected fc
"""
"""Words of nnexp, and others that stand for each elsewhere; what one of them means depends on what is known there."""
BEGINNINGS = """
max num number_of n nb use make load default initial init total train adam sgd optimizer model trainer data
"""
ENDINGS = """
loss optimizer activation initializer init scheduler schedule lr layer function fn rate value s 1d csv yaml yml
"""
"""What people put before or behind a word."""
NUMBER = re.compile(
    r"([+-]?[\d_]*\.?[\d_]+(?:e[+-]?\d+)?\.?)(?:(/|\^|\*\*)([+-]?\d+\.?\d*))?(%|[a-z]{0,7})", re.IGNORECASE
)
SIGNS = str.maketrans("\u2212\u2013\u201c\u201d\u2018\u2019", "--\"\"''")
UNITS = {"%": 0.01, "k": 1e3, "m": 1e6}
"""Numbers as people write them: other minus signs and quotation marks, and what may stand behind one."""
NEARLY_THE_SAME = 0.8
"""How much two words have in common of which one is the other, misspelt."""
MOST_NAMES, MOST_CHARACTERS = 8, 90
"""How much of a list of names is shown."""


def meant(word: str, known: Iterable[str]) -> list[str]:
    """Return the known words, three at most, that somebody means by a word: the same, a synonym, or a similar one."""
    names = _by_form(known)
    for form in _forms(word):
        if form in names:
            return [names[form]]
        found = [names[one] for one in _synonyms().get(form, ()) if one in names]
        if found:
            return list(dict.fromkeys(found))[:3]
    form = _form(word)
    close = get_close_matches(form, names, n=1, cutoff=0.6)
    parts = [name for one, name in names.items() if min(len(one), len(form)) > 2 and (one in form or form in one)]
    if close and not (parts and SequenceMatcher(None, form, close[0]).ratio() < NEARLY_THE_SAME):
        return [names[close[0]]]
    return sorted(set(parts))[:3]


def same_or_synonym(word: str, known: Iterable[str]) -> list[str]:
    """Return the known words that are a word but for its spelling, or synonyms of it, the likeliest first."""
    names = _by_form(known)
    wanted = [one for form in _forms(word) for one in (form, *_synonyms().get(form, ()))]
    return list(dict.fromkeys(names[form] for form in wanted if form in names))


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return `, did you mean ...?` with the known words that may be meant, or an empty text where there is none."""
    return proposal(meant(word, known))


def proposal(words: Sequence[str]) -> str:
    """Return `, did you mean ...?` with these words, or an empty text where there are none."""
    return f", did you mean {' or '.join(words)}?" if words else ""


def one_of(path: str, value: object, known: Iterable[str]) -> str:
    """Return a line about a value that is none of the known ones."""
    names = sorted(known)
    found = did_you_mean(str(value), names)
    return f"{path}={value}: must be one of {some(names, MOST_NAMES // 2 if found else MOST_NAMES)}{found}"


def no_such_key(path: str, known: Iterable[str]) -> str:
    """Return a line about an unknown key, with the known one that is meant or, where that is not clear, some of all."""
    names = sorted(known)
    head, dot, name = path.rpartition(".")
    found = proposal([f"{head}{dot}{one}" for one in meant(name, names)])
    return f"{path}: no such key{found or (f', known are {some(names)}' if names else '')}"


def some(names: Sequence[str], most: int = MOST_NAMES) -> str:
    """Return names in a list, and how many others there are where it would be long."""
    shown: list[str] = []
    for name in names[:most]:
        if shown and sum(map(len, [*shown, name])) > MOST_CHARACTERS:
            break
        shown.append(name)
    more = [f"{len(names) - len(shown)} more"] if len(names) > len(shown) else []
    return ", ".join([*shown, *more])


def enumerated(names: Sequence[str], most: int | None = None) -> str:
    """Return names as one says them, `a, b and c`; of more than one beyond the most, how many others there are."""
    if most is not None and len(names) > most + 1:
        names = [*names[:most], f"{len(names) - most} more"]
    return f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else "".join(names)


def numbers_meant(text: str) -> list[float]:
    """Return the numbers that a text means which is not written as Hydra reads them: `20%`, `1/3`, `10^-3`, `(8,4)`."""
    plain = unicodedata.normalize("NFKC", text).translate(SIGNS).strip(" \t\n'\"`()[]{}=")
    found = []
    for part in re.split(r"[,;\sx]+", plain):
        one = NUMBER.fullmatch(part)
        if one is None:
            return []
        number, operator, other, unit = one.groups()
        try:
            value = float(number.replace("_", ""))
            value = value / float(other) if operator == "/" else value ** float(other) if other else value
        except ArithmeticError:
            return []
        found.append(value * UNITS.get(unit.lower(), 1))
    return [int(one) if one == int(one) else one for one in found] if all(map(isfinite, found)) else []


def _form(word: str) -> str:
    """Return a word without what people spell differently: case, underscores, hyphens."""
    return re.sub(r"[^a-z0-9]", "", word.lower())


def _forms(word: str) -> list[str]:
    """Return a word as it is compared, from the whole to what is left without a module, a beginning or an ending."""
    forms = [_form(word), *(_form(part) for part in re.split(r"[./:(]", word) if _form(part))][::-1]
    forms = list(dict.fromkeys([_form(word), *forms]))
    for form in [*forms]:
        for beginning in ("", *map(_form, BEGINNINGS.split())):
            for ending in ("", *ENDINGS.split()):
                if form.startswith(beginning) and form.endswith(ending):
                    short = form.removeprefix(beginning).removesuffix(ending)
                    if len(short) > 1 and short not in forms:
                        forms.append(short)
    return forms


def _by_form(known: Iterable[str]) -> Mapping[str, str]:
    """Return names by the form in which they are compared, and those in folders by their last part, too."""
    names = list(known)
    return {_form(name.rpartition("/")[2]): name for name in reversed(names)} | {_form(name): name for name in names}


@cache
def _synonyms() -> Mapping[str, Sequence[str]]:
    found: dict[str, list[str]] = {}
    for line in OTHER_WORDS.split("\n"):
        word, _, others = line.partition(":")
        for other in others.split():
            found.setdefault(_form(other), []).append(_form(word))
    return found
