import sys; sys.path.insert(0,'/tmp/atk')
from collide import H,N,t
