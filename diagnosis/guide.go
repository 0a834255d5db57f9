package diagnosis

// A Guide says in a few sentences how a cause is detected and what to do about it,
// whatever the run. A finding says what was found in one run and gives the treatment
// as a difference of its plan.
type Guide struct {
	Detected string
	Cure     string
}

// GuideOf returns the guide to a cause of Diagnose.
func GuideOf(id string) (g Guide, known bool) {
	g, known = guides[id]
	return g, known
}

var guides = map[string]Guide{
	"preprocessing-mismatch": {
		"Subjects are dealt to the sets at random, so the intensities that the network is shown differ between training and validation by chance only, unless the pipelines do. The experiment sends the training subjects through the validation pipeline.",
		"Send both sets through one and the same preprocessing; what it needs to know of the images is fitted on the training set and used for both.",
	},
	"stochastic-evaluation": {
		"The same weights are evaluated as logged and deterministically, on the same subjects. Whatever differs is noise of the evaluation, and its share of the jitter is graded.",
		"Validate in evaluation mode, without dropout and augmentation.",
	},
	"random-validation-subset": {
		"The record shows who was evaluated in each epoch; how far the accuracy of those differs from that of all says how much it moves the curve.",
		"Validate on the same whole validation set in every epoch.",
	},
	"subject-leakage": {
		"The same id in both sets is a fact. Otherwise thumbnails of the images, and in the experiment whole images, are searched for pairs that are more alike than those of different subjects, and the network must be right about them more often.",
		"Split by patient: all images, visits and copies of one go to the same set. ballast check lists copies.",
	},
	"unscaled-input": {
		"The intensities of the training images as the network is shown them, against the order of one for which initial weights are made.",
		"Normalise every image to mean 0 and variance 1 over its foreground, and multiply by nothing after that.",
	},
	"loss-weight-mismatch": {
		"What training lessened is compared with the plain cross-entropy of the same batches. Weights of classes differ from it in one way only, and bias the answers to the heavier class.",
		"Train on the plain cross-entropy, or on weights that make up for unequal classes and no more; compare losses of one kind only.",
	},
	"batch-norm-small-batch": {
		"Training subjects at the same weights, normalised by their own batches and by the running statistics. A difference that new statistics do not take away is that of the two modes. The experiments compute the statistics from batches of several sizes, and repeat the run with group norm.",
		"Use group norm, which does the same in training and validation, or batches of at least 16 images.",
	},
	"batch-norm-lag": {
		"The same weights are evaluated with the running statistics and with statistics recomputed on training images; the share of the jitter that this takes away is graded, or the accuracy that it gains; where the validation subjects are few, what the running statistics cost the training subjects.",
		"Recompute the statistics on training images before validating (validation.recalibrate).",
	},
	"no-signal": {
		"Likely where the training subjects have been learnt and the interval of the validation AUROC excludes what would be worth finding. The experiment predicts every subject by networks that learnt others by heart, and asks whether permuted labels agree with that as well.",
		"Do not tune this curve. Check labels and images, cross-validate over all subjects, compare with a linear model, and only then look for more patients or another question.",
	},
	"label-noise": {
		"Hard subjects lie near the threshold, wrong labels anywhere: the mistakes among the third of the subjects that the network is surest of are held against those of a clean task of the same accuracy. The experiment predicts all subjects out of fold and estimates the share that no margin explains.",
		"Read the labels of the suspect subjects again, blind to the prediction.",
	},
	"site-shortcut": {
		"Site or mean intensity must tell the class, and the network must do better, within a class, on subjects whose site mostly has their class. The experiment brings all images to one brightness and contrast.",
		"Hold out a whole site (split.leave_out) to see what is left elsewhere; balance the classes over sites; normalise every image.",
	},
	"class-imbalance": {
		"Whether one class has four of five subjects; else how far the accuracy exceeds the balanced accuracy, with its interval.",
		"Report AUROC, balanced accuracy and the share found of every class, and draw the classes equally often (sampling.draw: balanced).",
	},
	"coin-flip": {
		"The AUROC of each subject's late probabilities with its interval, against permuted labels. One look, fixed beforehand.",
		"Show first that there is something to learn. Tuning such a curve cannot help.",
	},
	"small-validation-set": {
		"The subjects' own steps from epoch to epoch show how much the mean of so few of them must move; the share of that in the jitter is graded.",
		"Average the last epochs, or judge by cross-validation over all subjects.",
	},
	"threshold-flicker": {
		"The same probabilities are decided at one half and at the threshold of the training subjects of that epoch; the share of the jitter that this takes away is graded.",
		"Judge by AUROC, which has no threshold; where decisions are needed, fix the threshold on training subjects.",
	},
	"class-bias-oscillation": {
		"Epochs in which nearly all validation subjects are given one class, and others in which they are given another: the share of the jitter in steps to and from them.",
		"Find what makes the outputs swing: batch-norm statistics, preprocessing and the learning rate.",
	},
	"validation-better-than-training": {
		"The late validation accuracy with its interval against that of training as logged; training subjects in the validation pipeline say whether dropout and augmentation explain it.",
		"Where they do, nothing needs a cure. Where they do not, look for copies of training subjects in the validation set.",
	},
	"unshuffled-training": {
		"The composition of the batches, which is recorded: how much the number of images of each class varies against that of shuffled batches.",
		"Shuffle the training images anew in every epoch.",
	},
	"exploding-gradient": {
		"A training loss of ten times that of knowing nothing over a whole epoch, together with a gradient or with outputs that grow across the layers.",
		"Limit the norm of the gradient (optimizer.clip), lower the learning rate, use batch norm.",
	},
	"learning-rate-too-high": {
		"The loss of the training subjects at the weights after each epoch jumps, and the steps are large relative to the weights. The experiments go on for a few epochs at a tenth of the rate, and hold the sharpness of the loss against the edge of stability.",
		"Lower the learning rate to a third and compare over several seeds.",
	},
	"non-finite-loss": {
		"A loss or an output that is no number: a fact of the record.",
		"Lower the learning rate, limit the norm of the gradient, and look for missing values in the images.",
	},
	"dead-relu": {
		"In every late epoch half of a layer's channels or more are zero for every image of a batch.",
		"Lower the learning rate by which they died, use leaky ReLU or batch norm, and check initial weights and biases.",
	},
	"vanishing-gradient": {
		"The network does not learn, and gradients or outputs die out across the layers.",
		"Draw the initial weights by He's rule, use batch norm or group norm, or a network with shortcut connections.",
	},
	"learning-rate-too-low": {
		"All steps added up, relative to the weights, could not have made the network another one. The experiments go on for a few epochs at other rates and look for the rate at which the loss falls fastest.",
		"Raise the learning rate: try ten times the rate over a few epochs, or the one that ballast lr-range finds.",
	},
	"batch-too-small": {
		"The weights jump about, and a batch is so small that many hold one class only. The experiments measure the noise scale of the gradient and go on with batches of twice the size.",
		"Let a step rest on more images: a larger batch, or the mean gradient of several (optimizer.accumulate).",
	},
	"trained-too-short": {
		"The validation and training curves still improve by an amount that matters over the last third; the experiment goes on and looks whether they do.",
		"Train on until the smoothed validation loss has not fallen for a third of the epochs.",
	},
	"too-much-capacity": {
		"Overfitting, a training set known by heart, a thousand weights for each subject, and noise that is learnt as well. The experiments train on permuted labels and a narrower network.",
		"Train a network of half the width or fewer blocks over several seeds and compare.",
	},
	"trained-too-long": {
		"The loss of the validation subjects lies above its lowest, half of them choosing the epoch and the other half judging, and the reverse; and the training set is known by heart. The experiment repeats the run with other subjects held out.",
		"Stop near the lowest smoothed validation loss, chosen on other subjects than those that are reported.",
	},
	"too-little-capacity": {
		"The training set is not fitted although training has come to rest at a rate that lets the weights move. The experiments try other rates, a wider network, and whether permuted labels can be learnt by heart.",
		"Train a network of twice the width or with more blocks over several seeds and compare.",
	},
	"too-little-learning": {
		"The late training accuracy, with its interval, is less than a tenth of the way from guessing to perfect, or the training loss has hardly fallen.",
		"Let the network learn ten training cases by heart: if it cannot, look at the loss, the labels, the last layer and the learning rate first.",
	},
	"loss-accuracy-mismatch": {
		"A wrong case costs a cross-entropy of at least ln 2, so a loss far below ln 2 times the share wrong is that of something else.",
		"Check that outputs, labels and loss fit: logits or probabilities, one output per class or one for two classes.",
	},
	"overfitting": {
		"The gap of late accuracy between training and validation subjects at the same weights in the same pipeline, with its interval. The experiment repeats the run with other subjects held out.",
		"Regularise: weight decay, dropout, augmentation, a narrower network. More patients help most.",
	},
	"overconfidence": {
		"Mean confidence less accuracy over the late epochs, with its interval over subjects.",
		"Do not read the probabilities as risks; regularise, or stop earlier.",
	},
	"optimistic-selection": {
		"How far the best epoch of so many on so few subjects must flatter, computed from the subjects' own covariance. Arithmetic, and so never confirmed.",
		"Do not report the best epoch. Fix the number of epochs or choose by the smoothed loss, and report subjects that chose nothing.",
	},
}
