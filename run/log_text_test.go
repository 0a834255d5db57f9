package run

import (
	"math"
	"strings"
	"testing"
)

// textCases are prints in the manner of well-known training scripts, shortened.
// want holds, per run and point, epoch, training loss and accuracy, validation
// loss and accuracy; -1 stands for a value that is not there.
var textCases = []struct {
	name  string
	text  string
	names []string // of the runs; nil when there is one
	want  [][][5]float64
	size  int
}{
	{
		name: "Keras 2, bars with carriage returns and backspaces",
		text: "Train on 105 samples, validate on 19 samples\nEpoch 1/2\n\r 8/27 [=>....] - ETA: 5s - loss: 1.9 - acc: 0.3\b\b\b\b\r27/27 [====] - 8s 300ms/step - loss: 1.9472 - acc: 0.4634 - val_loss: 1.8260 - val_acc: 0.6842\n" +
			"\nEpoch 00001: val_acc improved from -inf to 0.68421, saving model to x\nEpoch 2/2\n27/27 [====] - 4s - loss: 1.7913 - acc: 0.5273 - val_loss: nan - val_acc: 0.5789\n" +
			"19/19 [====] - 0s 45us/step\nTest loss: 9\n19/19 [====] - loss: 0.1 - acc: 0.99\n",
		want: [][][5]float64{{{1, 1.9472, 0.4634, 1.8260, 0.6842}, {2, 1.7913, 0.5273, math.NaN(), 0.5789}}},
		size: 19,
	},
	{
		name: "Keras 3, accuracy first, colours",
		text: "Epoch 1/2\n\x1b[1m7/7\x1b[0m \x1b[32m━━━━\x1b[0m\x1b[37m\x1b[0m \x1b[1m1s\x1b[0m 26ms/step - accuracy: 0.5200 - loss: 0.6900 - val_accuracy: 0.5500 - val_loss: 0.6800 - learning_rate: 0.0010\n" +
			"Epoch 2/2\n7/7 - 26s - 370ms/step - accuracy: 0.6 - loss: 6.5e-01 - val_accuracy: 0.57 - val_loss: 0.66 - learning_rate: 1e-4\n",
		want: [][][5]float64{{{1, 0.69, 0.52, 0.68, 0.55}, {2, 0.65, 0.6, 0.66, 0.57}}},
	},
	{
		name: "Keras, one epoch repeated is two runs",
		text: "Epoch 1/1\n - 4s - loss: 1.6 - accuracy: 0.38 - val_loss: 1.39 - val_accuracy: 0.49\nEpoch 1/1\n - 4s - loss: 1.5 - accuracy: 0.40 - val_loss: 1.30 - val_accuracy: 0.51\n",
		want: [][][5]float64{{{1, 1.6, 0.38, 1.39, 0.49}}, {{1, 1.5, 0.40, 1.30, 0.51}}},
	},
	{
		name: "PyTorch transfer-learning tutorial",
		text: "Epoch 0/1\n----------\ntrain Loss: 0.6 Acc: 0.65\nval Loss: 0.5 Acc: 0.75\n\nEpoch 1/1\n----------\ntrain Loss: 0.4 Acc: 0.85\nval Loss: 0.45 Acc: 0.8\n\nTraining complete in 1m 3s\nBest val Acc: 0.8\n",
		want: [][][5]float64{{{1, 0.6, 0.65, 0.5, 0.75}, {2, 0.4, 0.85, 0.45, 0.8}}},
	},
	{
		name: "PyTorch MNIST example",
		text: "Train Epoch: 1 [0/600 (0%)]\tLoss: 2.0\nTrain Epoch: 1 [320/600 (53%)]\tLoss: 1.0\n\nTest set: Average loss: 0.3, Accuracy: 90/100 (90%)\n\n" +
			"Train Epoch: 2 [0/600 (0%)]\tLoss: 0.5\nTrain Epoch: 2 [320/600 (53%)]\tLoss: 0.7\n\nTest set: Average loss: 0.2, Accuracy: 93/100 (93%)\n",
		want: [][][5]float64{{{1, 1.5, -1, 0.3, 0.9}, {2, 0.6, -1, 0.2, 0.93}}},
		size: 100,
	},
	{
		name: "per cent, brackets, bars between",
		text: "2024-01-01 10:00:00,123 - INFO - Epoch [1/3] | Train Loss: 0.70 | Train Acc: 52.63% | Val. Loss: 0.69 | Val. Acc: 47.37%\n" +
			"2024-01-01 10:01:00,123 - INFO - Epoch [2/3] | Train Loss: 0.60 | Train Acc: 68.42% | Val. Loss: 0.65 | Val. Acc: 63.16%\n",
		want: [][][5]float64{{{1, 0.7, 0.5263, 0.69, 0.4737}, {2, 0.6, 0.6842, 0.65, 0.6316}}},
	},
	{
		name: "shares labelled per cent",
		text: "Epoch 1: train_loss=0.7, val_loss=0.6, val_acc=0.9123%\nEpoch 2: train_loss=0.5, val_loss=0.5, val_acc=0.9954%\n",
		want: [][][5]float64{{{1, 0.7, -1, 0.6, 0.9123}, {2, 0.5, -1, 0.5, 0.9954}}},
	},
	{
		name:  "folds",
		text:  "Fold 1/2\nepoch 1 train loss 0.7 val loss 0.6 val acc 0.5\nepoch 2 train loss 0.6 val loss 0.5 val acc 0.6\nFold 2/2\nepoch 1 train loss 0.8 val loss 0.7 val acc 0.4\nepoch 2 train loss 0.7 val loss 0.6 val acc 0.5\n",
		names: []string{"fold 1", "fold 2"},
		want:  [][][5]float64{{{1, 0.7, -1, 0.6, 0.5}, {2, 0.6, -1, 0.5, 0.6}}, {{1, 0.8, -1, 0.7, 0.4}, {2, 0.7, -1, 0.6, 0.5}}},
	},
	{
		name: "no numbers of epochs",
		text: "Training: loss 0.7 acc 0.5\nValidation: loss 0.6 acc 0.55\nTraining: loss 0.5 acc 0.6\nValidation: loss 0.55 acc 0.65\nTraining: loss 0.4 acc 0.7\nValidation: loss 0.5 acc 0.7\n",
		want: [][][5]float64{{{1, 0.7, 0.5, 0.6, 0.55}, {2, 0.5, 0.6, 0.55, 0.65}, {3, 0.4, 0.7, 0.5, 0.7}}},
	},
	{
		name: "headings on lines of their own",
		text: "EPOCH 1\nTraining\nloss: 0.7\naccuracy: 0.5\nValidation\nloss: 0.6\naccuracy: 0.55\nEPOCH 2\nTraining\nloss: 0.5\naccuracy: 0.6\nValidation\nloss: 0.55\naccuracy: 0.65\n",
		want: [][][5]float64{{{1, 0.7, 0.5, 0.6, 0.55}, {2, 0.5, 0.6, 0.55, 0.65}}},
	},
	{
		name: "the number after its values",
		text: "train_loss: 0.7\nval_loss: 0.6, val_acc: 0.5\nEpoch 1 done\ntrain_loss: 0.5\nval_loss: 0.5, val_acc: 0.6\nEpoch 2 done\n",
		want: [][][5]float64{{{1, 0.7, -1, 0.6, 0.5}, {2, 0.5, -1, 0.5, 0.6}}},
	},
	{
		name: "Hugging Face dictionaries",
		text: "{'loss': 0.7, 'grad_norm': 1.2, 'learning_rate': 5e-05, 'epoch': 0.5}\n{'loss': 0.5, 'learning_rate': 4e-05, 'epoch': 1.0}\n{'eval_loss': 0.6, 'eval_accuracy': 0.75, 'eval_runtime': 2.0, 'epoch': 1.0}\n" +
			"{'loss': 0.3, 'learning_rate': 3e-05, 'epoch': 1.5}\n{'loss': 0.1, 'learning_rate': 2e-05, 'epoch': 2.0}\n{'eval_loss': 0.4, 'eval_accuracy': 0.8, 'eval_runtime': 2.0, 'epoch': 2.0}\n",
		want: [][][5]float64{{{1, 0.6, -1, 0.6, 0.75}, {2, 0.2, -1, 0.4, 0.8}}},
	},
	{
		name: "ImageNet meters",
		text: "Epoch: [0][  1/9]\tTime  0.1 ( 0.2)\tLoss 6.9 (6.8)\tAcc@1   5.00 (  4.00)\tAcc@5   9.00 (  8.00)\nEpoch: [0][  9/9]\tTime  0.1 ( 0.2)\tLoss 5.0 (6.0)\tAcc@1   6.00 (  5.00)\tAcc@5   9.00 (  8.00)\n" +
			"Test: [ 1/3]\tTime  0.1 ( 0.2)\tLoss 5.9 (5.8)\tAcc@1  10.00 ( 10.00)\tAcc@5   9.00 (  8.00)\n * Acc@1 12.500 Acc@5 30.000\n" +
			"Epoch: [1][  9/9]\tTime  0.1 ( 0.2)\tLoss 4.0 (5.0)\tAcc@1   8.00 (  7.00)\tAcc@5   9.00 (  8.00)\n" +
			"Test: [ 1/3]\tTime  0.1 ( 0.2)\tLoss 4.9 (4.8)\tAcc@1  14.00 ( 13.00)\tAcc@5   9.00 (  8.00)\n * Acc@1 15.000 Acc@5 40.000\n",
		want: [][][5]float64{{{1, 6, 0.05, 5.8, 0.125}, {2, 5, 0.07, 4.8, 0.15}}},
	},
	{
		name: "Keras 2.2, a bar of the validation before the line of the epoch",
		text: "Epoch 1/2\n13/13 [====] - 2s 144ms/step - loss: 0.0030 - acc: 1.0000\n - 15s - loss: 0.1278 - acc: 0.8987 - val_loss: 0.0030 - val_acc: 1.0000\nEpoch 2/2\n13/13 [====] - 2s 144ms/step - loss: 0.0015 - acc: 1.0000\n - 14s - loss: 0.1260 - acc: 0.9591 - val_loss: 0.0015 - val_acc: 1.0000\n",
		want: [][][5]float64{{{1, 0.1278, 0.8987, 0.003, 1}, {2, 0.126, 0.9591, 0.0015, 1}}},
	},
	{
		name: "Lightning's bar, which shows the validation of the epoch before until the next",
		text: "Epoch 0:   0%|          | 0/6 [00:00<?, ?it/s]\rEpoch 0: 100%|██████████| 6/6 [00:00<00:00, 50.1it/s, v_num=0, train_loss=0.720]\rEpoch 0: 100%|██████████| 6/6 [00:00<00:00, 50.1it/s, v_num=0, train_loss=0.720, val_loss=0.650, val_acc=0.500]\n" +
			"Epoch 1:  50%|█████     | 3/6 [00:00<00:00, 50.1it/s, v_num=0, train_loss=0.640, val_loss=0.650, val_acc=0.500]\rEpoch 1: 100%|██████████| 6/6 [00:00<00:00, 50.1it/s, v_num=0, train_loss=0.610, val_loss=0.600, val_acc=0.600]\n",
		want: [][][5]float64{{{1, 0.72, -1, 0.65, 0.5}, {2, 0.61, -1, 0.6, 0.6}}},
	},
	{
		name: "times, best values, smoothed values",
		text: "Epoch 1/2\n------------------------------\nEpoch 1 completed in 801.3s\n   Train Loss: 0.1450\n   Val Loss: 0.2099\nNew best validation loss: 0.2099\nModel saved as 'best_model.pth'\n\n" +
			"Epoch 2/2\n------------------------------\nEpoch 2 completed in 796.4s\n   Train Loss: 0.1173\n   Val Loss: 0.1783, Smoothed Validation Loss: 0.19\nNew best validation loss: 0.1783\n",
		want: [][][5]float64{{{1, 0.145, -1, 0.2099, -1}, {2, 0.1173, -1, 0.1783, -1}}},
	},
	{
		name: "training and validation on lines of their own, with the epoch",
		text: "Epoch [1/650], Train Loss: 0.0210, Train L1 Loss: 0.5784\nEpoch [1/650], Validation Loss: 0.0064, Validation L1: 0.5746\nEpoch [2/650], Train Loss: 0.0041, Train L1 Loss: 0.4272\nEpoch [2/650], Validation Loss: 0.0066, Validation L1: 0.5970\n",
		want: [][][5]float64{{{1, 0.021, -1, 0.0064, -1}, {2, 0.0041, -1, 0.0066, -1}}},
	},
	{
		name: "a logger that prints every line twice, and a last epoch without validation",
		text: "INFO:root:Epoch 1 - loss: 0.69, accuracy: 0.51, Val_Loss: 0.68, Val_Acc: 0.52\nEpoch 1 - loss: 0.69, accuracy: 0.51, Val_Loss: 0.68, Val_Acc: 0.52\nINFO:root:Epoch 2 - loss: 0.52, accuracy: 0.74, Val_Loss: 0.51, Val_Acc: 0.75\nEpoch 2 - loss: 0.52, accuracy: 0.74, Val_Loss: 0.51, Val_Acc: 0.75\nINFO:root:Epoch 3 - loss: 0.5, accuracy: 0.76\n",
		want: [][][5]float64{{{1, 0.69, 0.51, 0.68, 0.52}, {2, 0.52, 0.74, 0.51, 0.75}, {3, 0.5, 0.76, -1, -1}}},
	},
	{
		name: "Hugging Face 5 dictionaries, numbers in quotes",
		text: "{'loss': '0.7771', 'grad_norm': '0.61', 'learning_rate': '0.009167', 'epoch': '0.5'}\n{'loss': '0.73', 'learning_rate': '0.007917', 'epoch': '1'}\n{'eval_loss': '0.7665', 'eval_accuracy': '0.4211', 'eval_runtime': '0.0021', 'epoch': '1'}\n{'loss': '0.7', 'learning_rate': '0.0067', 'epoch': '2'}\n{'eval_loss': '0.7238', 'eval_accuracy': '0.4737', 'epoch': '2'}\n{'train_runtime': '0.7142', 'train_loss': '0.7064', 'epoch': '2'}\n",
		want: [][][5]float64{{{1, 0.75355, -1, 0.7665, 0.4211}, {2, 0.7, -1, 0.7238, 0.4737}}},
	},
	{
		name: "commas between names and numbers, phases, sets in names without a joint",
		text: "epoch 1, phase train, total step 0\nepoch 1, phase train, step 10, loss_train, 0.8\nepoch 1, phase train, step 20, loss_train, 0.6\nepoch 1, phase valid, total step 20\nepoch 1 | val_loss: 0.659\nepoch 1 | val_dsc: 0.7392\n" +
			"epoch 2, phase train, step 30, loss_train, 0.4\nepoch 2, phase valid, total step 40\nepoch 2 | val_loss: 0.5\nepoch 2 | val_dsc: 0.8\n",
		want: [][][5]float64{{{1, 0.7, -1, 0.659, 0.7392}, {2, 0.4, -1, 0.5, 0.8}}},
	},
	{
		name: "an evaluation before the training",
		text: "lr: 0.01\nInitial validation: loss 0.69 acc 0.5\nEpoch 1/2\ntrain loss 0.6 acc 0.6\nval loss 0.65 acc 0.55\nEpoch 2/2\ntrain loss 0.5 acc 0.7\nval loss 0.6 acc 0.65\n",
		want: [][][5]float64{{{1, 0.6, 0.6, 0.65, 0.55}, {2, 0.5, 0.7, 0.6, 0.65}}},
	},
	{
		name: "tqdm for training and validation, then a line",
		text: "Epoch 1/2: 100%|##########| 50/50 [00:10<00:00,  4.90it/s, loss=0.65]\nValidation: 100%|###| 5/5 [00:01<00:00, 4.2it/s, loss=0.3]\nEpoch 1/2 - Train Loss: 0.70, Train Acc: 0.55, Val Loss: 0.66, Val Acc: 0.60\nEpoch 2/2: 100%|##########| 50/50 [00:10<00:00,  4.90it/s, loss=0.55]\nEpoch 2/2 - Train Loss: 0.60, Train Acc: 0.65, Val Loss: 0.56, Val Acc: 0.70\n",
		want: [][][5]float64{{{1, 0.7, 0.55, 0.66, 0.6}, {2, 0.6, 0.65, 0.56, 0.7}}},
	},
	{
		name: "PyTorch quickstart",
		text: "Epoch 1\n-------------------------------\nloss: 2.5  [   64/60000]\nloss: 2.25  [ 6464/60000]\nTest Error: \n Accuracy: 38.6%, Avg loss: 2.155749 \n\nEpoch 2\n-------------------------------\nloss: 2.0  [   64/60000]\nloss: 1.5  [ 6464/60000]\nTest Error: \n Accuracy: 58.6%, Avg loss: 1.9 \n\nDone!\n",
		want: [][][5]float64{{{1, 2.375, -1, 2.155749, 0.386}, {2, 1.75, -1, 1.9, 0.586}}},
	},
	{
		name: "evaluations by steps",
		text: "step 0: train loss 4.2, val loss 4.3\niter 10: loss 4.1\nstep 250: train loss 2.2, val loss 2.3\nstep 500: train loss 1.2, val loss 1.9\n",
		want: [][][5]float64{{{1, 4.2, -1, 4.3, -1}, {2, 2.2, -1, 2.3, -1}, {3, 1.2, -1, 1.9, -1}}},
	},
	{
		name: "tensor and numpy wrappers",
		text: "epoch: 1 loss: tensor(0.7, device='cuda:0') val_loss: tensor(0.6) val_auc: np.float64(0.71)\nepoch: 2 loss: tensor(0.5) val_loss: tensor(0.5) val_auc: np.float64(0.81)\n",
		want: [][][5]float64{{{1, 0.7, -1, 0.6, 0.71}, {2, 0.5, -1, 0.5, 0.81}}},
	},
	{
		name: "MONAI, validation every second epoch",
		text: "epoch 1/3\n1/2, train_loss: 0.8\n2/2, train_loss: 0.6\nepoch 1 average loss: 0.7000\nepoch 2/3\n1/2, train_loss: 0.6\n2/2, train_loss: 0.4\nepoch 2 average loss: 0.5000\nsaved new best metric model\nCurrent epoch: 2 current accuracy: 0.4000 \nBest accuracy: 0.4000 at epoch 2\n" +
			"epoch 3/3\n1/2, train_loss: 0.4\n2/2, train_loss: 0.2\nepoch 3 average loss: 0.3000\n",
		want: [][][5]float64{{{1, 0.7, -1, -1, -1}, {2, 0.5, -1, -1, 0.4}, {3, 0.3, -1, -1, -1}}},
	},
	{
		name: "MONAI segmentation",
		text: "epoch 1/2\nepoch 1 average loss: 0.7000\ncurrent epoch: 1 current mean dice: 0.4500 best mean dice: 0.4500 at epoch: 1\nepoch 2/2\nepoch 2 average loss: 0.5000\ncurrent epoch: 2 current mean dice: 0.5500 best mean dice: 0.5500 at epoch: 2\n",
		want: [][][5]float64{{{1, 0.7, -1, -1, 0.45}, {2, 0.5, -1, -1, 0.55}}},
	},
}

func TestReadText(t *testing.T) {
	for _, test := range textCases {
		t.Run(test.name, func(t *testing.T) {
			runs, err := readText(strings.NewReader(test.text))
			if err != nil {
				t.Fatal(err)
			}
			if len(runs) != len(test.want) {
				t.Fatalf("%d runs, want %d", len(runs), len(test.want))
			}
			for i, one := range runs {
				c := one.curves("", "text")
				if test.names != nil && c.Name != test.names[i] {
					t.Errorf("run %d is called %q, want %q", i, c.Name, test.names[i])
				}
				if c.Validation != test.size {
					t.Errorf("%d validation subjects, want %d", c.Validation, test.size)
				}
				comparePoints(t, c.Points, test.want[i])
			}
		})
	}
}

// comparePoints holds points against epoch, training loss and accuracy,
// validation loss and accuracy; -1 means absent, NaN logged as nan.
func comparePoints(t *testing.T, points []Point, want [][5]float64) {
	t.Helper()
	if len(points) != len(want) {
		t.Fatalf("%d points, want %d: %+v", len(points), len(want), points)
	}
	names := [5]string{"epoch", TrainLoss, TrainAccuracy, ValidationLoss, ValidationAccuracy}
	for i, p := range points {
		got := [5]float64{float64(p.Epoch), float64(p.TrainLoss), float64(p.TrainAccuracy), float64(p.ValidationLoss), float64(p.ValidationAccuracy)}
		for j, x := range want[i] {
			logged := false
			for _, name := range p.LoggedNaN {
				logged = logged || name == names[j]
			}
			switch {
			case x == -1 && (!math.IsNaN(got[j]) || logged):
				t.Errorf("point %d: %s is %v, want none", i, names[j], got[j])
			case math.IsNaN(x) && !logged:
				t.Errorf("point %d: %s is %v and not marked as nan in the log", i, names[j], got[j])
			case x != -1 && !math.IsNaN(x) && got[j] != x && !(math.Abs(got[j]-x) <= 1e-12*max(1, math.Abs(x))):
				t.Errorf("point %d: %s is %v, want %v", i, names[j], got[j], x)
			}
		}
	}
}
