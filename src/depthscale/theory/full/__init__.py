"""The walk in its full form: a batch of given inputs, held by the matrix of its second moments."""
